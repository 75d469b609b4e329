// Package distconsts holds the paths and image names that a Dagger engine is
// built with. Dagger keeps them in a nested module that its released zip does
// not carry; these are the lab's own, so that the engine finds its files in the
// lab's folder and not in places that only Dagger's container image has.
package distconsts

// Where the lab keeps what its engine needs. lab/paths.go holds the same folder;
// a test compares the two.
const (
	home = "/var/lib/cutover-lab"

	RuncPath                         = "/usr/sbin/runc"
	DaggerInitPath                   = home + "/bin/dagger-init"
	EngineDefaultStateDir            = home + "/engine"
	EngineContainerBuiltinContentDir = home + "/content"
	DefaultEngineSockAddr            = "unix:///run/dagger/engine.sock"
	EngineContainerName              = "dagger-engine"
)

// The names of the environment variables that tell the engine which image of
// its content directory is the one for each SDK. The lab has only Go's.
const (
	GoSDKManifestDigestEnvName         = "DAGGER_GO_SDK_MANIFEST_DIGEST"
	PythonSDKManifestDigestEnvName     = "DAGGER_PYTHON_SDK_MANIFEST_DIGEST"
	TypescriptSDKManifestDigestEnvName = "DAGGER_TYPESCRIPT_SDK_MANIFEST_DIGEST"
)

// Images that Dagger falls back to for its own terminals and tests.
const (
	AlpineVersion        = "3.22.0"
	AlpineImage          = "alpine:" + AlpineVersion
	GolangImage          = "golang:1.26"
	BusyboxImage         = "busybox:1.37.0"
	OCIVersionAnnotation = "org.opencontainers.image.version"
)
