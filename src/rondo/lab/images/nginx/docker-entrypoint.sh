#!/bin/sh
# As in the official image: templates are filled from the environment and the scripts of
# /docker-entrypoint.d run before Nginx starts.
set -e

fill_templates() {
    templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
    suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
    output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
    [ -d "$templates" ] || return 0
    # Only variables that are set: Nginx's own ($host, $uri) must stay.
    # shellcheck disable=SC2016,SC2046
    names=$(printf '${%s} ' $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'))
    find "$templates" -type f -name "*$suffix" | while IFS= read -r template; do
        target="$output/${template#"$templates"/}"
        target=${target%"$suffix"}
        mkdir -p "$(dirname "$target")"
        envsubst "$names" < "$template" > "$target"
    done
}

case "$1" in
nginx | nginx-debug)
    fill_templates
    for script in /docker-entrypoint.d/*; do
        case "$script" in
        *.envsh)
            # shellcheck source=/dev/null
            if [ -x "$script" ]; then . "$script"; fi
            ;;
        *.sh) if [ -x "$script" ]; then "$script"; fi ;;
        esac
    done
    ;;
esac
exec "$@"
