#!/bin/sh
# What a GitLab checks before it takes a push. The server says in the environment who is pushing where.
set -f

refuse() {
    echo "GitLab: $1" >&2
    exit 1
}

zero=0000000000000000000000000000000000000000
new_commits=
while read -r old new ref; do
    case $ref in
        refs/heads/* | refs/tags/*) ;;
        *) [ -z "$STANDIN_BRANCHES_AND_TAGS_ONLY" ] || refuse "You can only push branches and tags, not $ref." ;;
    esac
    [ "$new" = $zero ] || new_commits="$new_commits $new"
    branch=${ref#refs/heads/}
    [ "$branch" != "$ref" ] || continue
    for pattern in $STANDIN_CLOSED_BRANCHES; do
        # shellcheck disable=SC2254 # it is a pattern
        case $branch in
            $pattern) refuse "You are not allowed to push code to protected branches on this project." ;;
        esac
    done
    for pattern in $STANDIN_PROTECTED_BRANCHES; do
        # shellcheck disable=SC2254 # it is a pattern
        case $branch in
            $pattern)
                [ "$new" != $zero ] || refuse "You can only delete protected branches using the web interface."
                [ "$old" = $zero ] || git merge-base --is-ancestor "$old" "$new" ||
                    refuse "You are not allowed to force push code to a protected branch on this project."
                ;;
        esac
    done
done

[ -n "$STANDIN_LFS_LINKS" ] && [ -n "$new_commits" ] || exit 0
# shellcheck disable=SC2086 # one word each
git rev-list --objects $new_commits --not --all |
    cut -d' ' -f1 |
    git cat-file --batch-check='%(objecttype) %(objectsize) %(objectname)' |
    awk '$1 == "blob" && $2 < 1024 { print $3 }' |
    git cat-file --batch |
    awk '/^version https:\/\/git-lfs.github.com\/spec\/v1$/ { pointer = 1; next }
         pointer && /^oid sha256:[0-9a-f]+$/ { print substr($0, 12) }
         { pointer = 0 }' |
    sort -u |
    while read -r oid; do
        [ -e "$STANDIN_LFS_LINKS/$oid" ] ||
            refuse "LFS objects are missing. Ensure LFS is properly set up or try a manual \"git lfs push --all\"."
    done
