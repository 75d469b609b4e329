// Package stage sets up what the demonstration, the measurements and the
// end-to-end tests play on: a namespace with a database in a real cluster, the
// `dagger` command as its users call it, cutover's own program, and a steady load
// from a pod inside the cluster.
package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"cutover.dev/ci/release"
)

// Stage is a repository that is deployed to a namespace of a cluster.
type Stage struct {
	// Root is cutover's repository: the Dagger module.
	Root string
	// Source is the application's repository: Root itself, or what Copy made.
	Source string
	// Kubeconfig is a file, whose user sets the stage up; Registry a host and port that cluster and engine reach.
	Kubeconfig, Registry string
	// Prometheus is the address of one that scrapes the pods, empty if there is none.
	Prometheus string
	// Namespace is where the application runs.
	Namespace string
	// Password is the database's, made up for this stage.
	Password string

	Client kubernetes.Interface
}

// Names are those of everything that is made for the example application.
var Names = release.Names{App: "notes"}

// Open returns the stage that KUBECONFIG and REGISTRY lead to.
func Open(root, namespace string) (*Stage, error) {
	s := &Stage{Root: root, Source: root, Kubeconfig: os.Getenv("KUBECONFIG"), Registry: os.Getenv("REGISTRY"), Prometheus: os.Getenv("PROMETHEUS"), Namespace: namespace}
	if s.Kubeconfig == "" || s.Registry == "" {
		return nil, errors.New("KUBECONFIG and REGISTRY must say which cluster and which registry to use; `eval \"$(go run ./lab env)\"` sets them to the lab's")
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 100
	s.Client, err = kubernetes.NewForConfig(config)
	return s, err
}

// Set makes the namespace anew, with a PostgreSQL in it and an account for cutover,
// and writes the file with the application's secrets.
func (s *Stage) Set(ctx context.Context) error {
	if err := s.Strike(ctx); err != nil {
		return err
	}
	if _, err := s.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace, Labels: map[string]string{labelStage: "true"}}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := s.grant(ctx); err != nil {
		return err
	}
	s.Password = "pw-" + fmt.Sprintf("%x", time.Now().UnixNano())
	password := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "postgres"}, StringData: map[string]string{"password": s.Password}}
	if _, err := s.Client.CoreV1().Secrets(s.Namespace).Create(ctx, password, metav1.CreateOptions{}); err != nil {
		return err
	}
	dsn := fmt.Sprintf("DATABASE_URL=postgres://notes:%s@postgres:5432/notes?sslmode=disable\n", s.Password)
	if err := os.WriteFile(s.secretsFile(), []byte(dsn), 0o600); err != nil {
		return err
	}
	if err := s.Kubectl(ctx, "apply", "--filename="+filepath.Join(s.Root, "example/kubernetes/postgres.yaml")); err != nil {
		return err
	}
	return s.Kubectl(ctx, "rollout", "status", "deployment/postgres", "--timeout=120s")
}

// labelStage marks the namespaces that may be removed again.
const labelStage = "cutover.dev/stage"

// Clear removes every namespace that a stage has left in the cluster, be it of
// another program: what a failed or killed one left holds a share of a small
// machine, and the next would wait for it in vain.
func (s *Stage) Clear(ctx context.Context) error {
	left, err := s.Client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: labelStage})
	if err != nil {
		return err
	}
	for _, n := range left.Items {
		if err := s.remove(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// Strike removes the namespace with all that is in it and waits for its end.
func (s *Stage) Strike(ctx context.Context) error {
	os.Remove(s.secretsFile())
	os.Remove(s.Account())
	found, err := s.Client.CoreV1().Namespaces().Get(ctx, s.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Labels[labelStage] == "" {
		return fmt.Errorf("the namespace %s is there already and not this program's to remove; nothing was changed; to let it be removed: kubectl label namespace %[1]s %s=true", s.Namespace, labelStage)
	}
	return s.remove(ctx, s.Namespace)
}

func (s *Stage) remove(ctx context.Context, namespace string) error {
	err := s.Client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Kubectl(ctx, "wait", "--for=delete", "namespace/"+namespace, "--timeout=120s")
}

// Kubectl acts on the stage's namespace.
func (s *Stage) Kubectl(ctx context.Context, args ...string) error {
	call, err := run(ctx, s.Root, nil, "kubectl", append([]string{"--kubeconfig=" + s.Kubeconfig, "--namespace=" + s.Namespace}, args...)...)
	if err == nil && call.Code != 0 {
		err = fmt.Errorf("kubectl %s: exit code %d: %s", strings.Join(args, " "), call.Code, strings.TrimSpace(call.Stderr))
	}
	return err
}
