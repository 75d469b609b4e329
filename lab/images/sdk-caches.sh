# Compiles Dagger's Go SDK of version $1 over the layers whose files are named by
# the other arguments, in this empty folder; Go's caches are in upper/ afterwards.
# The engine starts with them, so that its first module compiles only what is its
# own. It is done in the image itself: what Go remembers of a package holds the
# folder it lies in. The mount namespace is of its own, so that mounts end with it.
set -eu
version=$1
shift
mkdir base upper work root
for layer; do tar -C base -xf "$layer"; done
mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work root
mount --rbind /dev root/dev
mount -t proc proc root/proc
cp /etc/resolv.conf root/etc/resolv.conf

mkdir root/src
cat > root/src/main.go <<END
package main

import (
	_ "dagger.io/dagger"
	_ "dagger.io/dagger/telemetry"
)

func main() {}
END
chroot root sh -euc "
cd /src
go mod init sdk
go get dagger.io/dagger@$version
go mod tidy
go build -o /dev/null ."
