#!/bin/sh
# The last step of making Debian's disk: called by mmdebstrap with the folder of its files, and with MODULES (a kernel's
# folder of modules), DISK (the file to make) and SIZE_MB.
set -eu
root="$1"
release=$(basename "$MODULES")
mkdir -p "$root/lib/modules" "$root/lab"
cp -r "$MODULES" "$root/lib/modules/"
chroot "$root" depmod "$release"
echo machine >"$root/etc/hostname"
echo "127.0.0.1 localhost machine" >"$root/etc/hosts"
echo "nameserver 192.0.2.53" >"$root/etc/resolv.conf"
# With an identity of its own, since the first boot of a machine without is another kind of boot.
echo 5f0d3c5e8a0b4c1d9e2f6a7b8c9d0e1f >"$root/etc/machine-id"
# What keeps services from being started while the packages are unpacked.
rm -f "$root/usr/sbin/policy-rc.d"
if [ -e "$root/sbin/start-stop-daemon.REAL" ]; then
    mv "$root/sbin/start-stop-daemon.REAL" "$root/sbin/start-stop-daemon"
fi
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
truncate --size "${SIZE_MB}M" "$DISK"
# What mmdebstrap has mounted into the folder is no part of it.
unshare --mount sh -eu -c '
    for folder in proc sys; do
        umount --recursive "$1/$folder" || true
    done
    mkfs.ext4 -q -L root -d "$1" "$2"
' sh "$root" "$DISK"
