# Installs PostgreSQL over the base layer whose file is named by $1, in this
# empty folder; what it adds is in upper/ afterwards. It runs in a mount namespace
# of its own, so that its mounts end with it.
set -eu
mkdir base upper work root
tar -C base -xf "$1"
mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
cp /etc/resolv.conf root/etc/resolv.conf

# No daemon may start, no database be made, while packages are installed.
printf '#!/bin/sh\nexit 101\n' > root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
mkdir -p root/etc/postgresql-common
echo 'create_main_cluster = false' > root/etc/postgresql-common/createcluster.conf

# The number that the user has in Docker Hub's image.
chroot root groupadd -r --gid 999 postgres
chroot root useradd -r --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres

chroot root apt-get update
chroot root apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold postgresql-15
chroot root install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
chroot root install -d -o postgres -g postgres -m 3777 /run/postgresql
rm root/usr/sbin/policy-rc.d
