package stage

import (
	"context"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"cutover.dev/ci/plan"
)

// account names what belongs to the account that cutover acts as.
const account = "cutover"

// Account is the kubeconfig file of the account that cutover acts as on this stage.
// It has the rights that the README asks for, and no other.
func (s *Stage) Account() string {
	return filepath.Join(os.TempDir(), "cutover-"+s.Namespace+".kubeconfig")
}

// grant makes the account, and its kubeconfig with a token for a day.
func (s *Stage) grant(ctx context.Context) error {
	meta := metav1.ObjectMeta{Name: account}
	if _, err := s.Client.CoreV1().ServiceAccounts(s.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := s.Client.RbacV1().Roles(s.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: plan.Rights}, metav1.CreateOptions{}); err != nil {
		return err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: s.Namespace}},
	}
	if _, err := s.Client.RbacV1().RoleBindings(s.Namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	day := int64(24 * 60 * 60)
	token, err := s.Client.CoreV1().ServiceAccounts(s.Namespace).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		return err
	}
	if err := api.MinifyConfig(config); err != nil { // the current context alone
		return err
	}
	if err := api.FlattenConfig(config); err != nil { // no files
		return err
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &api.AuthInfo{Token: token.Status.Token}
	}
	return clientcmd.WriteToFile(*config, s.Account())
}
