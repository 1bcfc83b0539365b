#!/bin/sh
# Make a small Debian and write it to standard output as a tar archive.
# usage: unshare --mount ... sh make.sh SUITE MIRROR
# It runs as root in a mount namespace of its own and works in memory: whatever interrupts it,
# nothing is left behind.
set -eu
suite=$1
mirror=$2

mount --make-rprivate /
work=/mnt
mount -t tmpfs -o mode=0755 tmpfs "$work"

debootstrap --variant=minbase --include=ca-certificates "$suite" "$work" "$mirror" >&2

cat > "$work/etc/apt/sources.list" <<SOURCES
deb $mirror $suite main
deb $mirror $suite-updates main
deb http://security.debian.org/debian-security $suite-security main
SOURCES

# Images hold no documentation, no package lists, no downloaded packages.
cat > "$work/etc/dpkg/dpkg.cfg.d/slim" <<'CONFIG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
force-unsafe-io
CONFIG
cat > "$work/etc/apt/apt.conf.d/slim" <<'CONFIG'
Acquire::Languages "none";
Acquire::Retries "3";
Binary::apt-get::APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONFIG
# No service starts while an image is being built.
printf '#!/bin/sh\nexit 101\n' > "$work/usr/sbin/policy-rc.d"
chmod 0755 "$work/usr/sbin/policy-rc.d"

find "$work/usr/share/doc" -type f ! -name copyright -delete
find "$work/usr/share/doc" -type l -delete
find "$work/usr/share/doc" -mindepth 1 -type d -empty -delete
rm -rf "$work"/usr/share/man/* "$work"/usr/share/info/* "$work"/usr/share/locale/* \
    "$work"/usr/share/lintian "$work"/var/cache/apt/* "$work"/var/lib/apt/lists/* \
    "$work"/var/log/* "$work"/var/cache/debconf/*-old "$work"/var/lib/dpkg/*-old
: > "$work/etc/resolv.conf"
rm -f "$work/etc/hostname" "$work/etc/machine-id"
: > "$work/etc/machine-id"

tar --create --one-file-system --numeric-owner --directory "$work" .
