"""Reading with the project's own language: letters and words weigh what the network heard."""
