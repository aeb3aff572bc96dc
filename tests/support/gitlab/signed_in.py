"""How a person's own git uses a token; the worker's git never sees one."""

import base64


def signed_in(token: str) -> dict[str, str]:
    """Variables for a person's git command."""
    basic = base64.b64encode(f"oauth2:{token}".encode()).decode()
    settings = {"credential.helper": "", "http.extraHeader": f"Authorization: Basic {basic}"}
    variables = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
