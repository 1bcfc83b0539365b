# The deploy user: its keys, and the right to be root.
# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared between the parts

home_of() { getent passwd "$1" | cut -d : -f 6; }

# Cloud images give root keys whose forced command only says who to log in as.
keys_of() { # USER
    sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' -e '/command=/d' \
        "$(home_of "$1")/.ssh/authorized_keys" 2>/dev/null || :
}

deploy_user() {
    [ "$user" != - ] || return 0
    if ! id "$user" >/dev/null 2>&1; then
        want user "create $user, without a password" &&
            useradd --create-home --user-group --shell /bin/bash --password '*' "$user"
    fi
    deploy_keys
    may_be_root || hold_sudoers
}

deploy_keys() {
    new=$(keys_of "$login" | while IFS= read -r key; do
        keys_of "$user" | grep -qxF -- "$key" || printf '%s\n' "$key"
    done)
    [ -n "$new" ] || return 0
    want user "let the $(echo "$new" | wc -l) SSH key(s) of $login in as $user" || return 0
    folder=$(home_of "$user")/.ssh
    install -d -m 0700 -o "$user" -g "$(id -gn "$user")" "$folder"
    printf '%s\n' "$new" >>"$folder/authorized_keys"
    chown "$user:" "$folder/authorized_keys"
    chmod 0600 "$folder/authorized_keys"
}

may_be_root() {
    id -nG "$user" 2>/dev/null | grep -qw docker ||
        runuser -u "$user" -- sudo -n true >/dev/null 2>&1
}

# A broken file in sudoers.d locks everybody out: it is checked before it is there.
hold_sudoers() {
    want user "let $user use sudo without a password (/etc/sudoers.d/rondo-$user)" || return 0
    installed sudo || install_packages sudo
    new=$(mktemp)
    printf '%s ALL=(ALL:ALL) NOPASSWD: ALL\n' "$user" >"$new"
    visudo -c -q -f "$new"
    install -m 0440 "$new" "/etc/sudoers.d/rondo-$user"
    rm -f "$new"
}

