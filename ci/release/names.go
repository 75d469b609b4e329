package release

import "fmt"

// Labels and names of everything that cutover makes in a cluster. A name never
// depends on anything but the application's name, the colour and the release.
const (
	// LabelApp is on every object that cutover makes for an application.
	LabelApp = "cutover.dev/app"
	// LabelServes is on colour pods only: Services select by it, so that no other
	// pod of the application is ever sent a request.
	LabelServes = "cutover.dev/serves"
	// LabelColour is the colour of a Deployment and its pods.
	LabelColour = "cutover.dev/colour"
	// LabelRelease is the release that an object belongs to.
	LabelRelease = "cutover.dev/release"
	// LabelRole tells helpers apart: "agent", "migrate", "record".
	LabelRole = "cutover.dev/role"
	// LabelManagedBy is Kubernetes' own label for the tool that made an object.
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// Manager is the value of LabelManagedBy and the field manager of every write.
	Manager = "cutover"
)

// Names derives the names of an application's objects.
type Names struct{ App string }

// Live is the Service that users reach.
func (n Names) Live() string { return n.App }

// Preview is the Service of the colour that does not serve yet.
func (n Names) Preview() string { return n.App + "-preview" }

// Deployment is the colour's Deployment.
func (n Names) Deployment(c Colour) string { return n.App + "-" + string(c) }

// Config is the release's immutable ConfigMap and, under the same name, Secret.
func (n Names) Config(releaseID string) string { return n.App + "-" + releaseID }

// Agent is the pod that looks at the application from inside the cluster.
func (n Names) Agent() string { return n.App + "-cutover-agent" }

// Migrate is the Job that migrates the database for a release.
func (n Names) Migrate(releaseID string) string { return n.App + "-" + releaseID + "-migrate" }

// Check is the Job of one look at what only a pod can tell.
func (n Names) Check(nonce string) string { return n.App + "-check-" + nonce }

// Backup is the Job that copies the database before a run contracts it.
func (n Names) Backup(number int) string { return fmt.Sprintf("%s-backup-%d", n.App, number) }

// Contract is the Job that contracts the database in a run.
func (n Names) Contract(number int) string { return fmt.Sprintf("%s-contract-%d", n.App, number) }

// Smoke is the Job that runs a run's smoke tests against a target.
func (n Names) Smoke(number int, target string) string {
	return fmt.Sprintf("%s-smoke-%d-%s", n.App, number, target)
}

// Head is the ConfigMap with the current record and the history, and the Lease.
func (n Names) Head() string { return n.App + "-cutover" }

// Archive is the ConfigMap with the whole record of a finished run.
func (n Names) Archive(number int) string { return fmt.Sprintf("%s-cutover-%d", n.App, number) }

// Series is the ConfigMap with what the prober saw in each second of a run.
func (n Names) Series(number int) string { return n.Archive(number) + "-series" }

// Selector is what the live Service selects when c serves; for Both it leaves
// the colour open.
func (n Names) Selector(c Colour) map[string]string {
	if c == Both {
		return map[string]string{LabelServes: n.App}
	}
	return map[string]string{LabelServes: n.App, LabelColour: string(c)}
}

// Labels are on every object made for the application.
func (n Names) Labels() map[string]string {
	return map[string]string{LabelApp: n.App, LabelManagedBy: Manager}
}
