package outcome

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodeOf(t *testing.T) {
	refused := Refusef("cutover help", "no")
	for want, errs := range map[Code][]error{
		Done:       {nil},
		Failed:     {errors.New("anything"), Failf("again", "no route"), context.Canceled},
		Refused:    {refused, fmt.Errorf("step preflight: %w", refused), errors.Join(errors.New("first"), refused)},
		RolledBack: {&Error{Code: RolledBack, Err: errors.New("no")}},
		Halted:     {&Error{Code: Halted, Err: errors.New("no")}},
	} {
		for _, err := range errs {
			require.Equal(t, want, CodeOf(err), "%v", err)
		}
	}
}

func TestTheCodesArePartOfTheInterface(t *testing.T) {
	require.Equal(t, []Code{0, 10, 11, 12, 13, 14}, []Code{Done, Refused, Waiting, RolledBack, Halted, Failed})
}

func TestExplainSaysWhatHappenedWhatIsTrueAndWhatToType(t *testing.T) {
	err := &Error{Code: RolledBack, Err: errors.New("step raise: no"), Now: "1.0 serves, as before", Next: "cutover status\ncutover deploy"}
	require.Equal(t, `step raise: no
  now:  1.0 serves, as before
  next: cutover status
        cutover deploy`, Explain(err))
	require.Equal(t, `no
  now:  nothing was changed
  next: cutover help`, Explain(Refusef("cutover help", "no")))
	require.Equal(t, `deploy: no
  now:  nothing was changed`, Explain(fmt.Errorf("deploy: %w", Failf("", "no"))))
	require.Equal(t, "plain", Explain(errors.New("plain")))
}

func TestTheCauseStaysInTheChain(t *testing.T) {
	require.ErrorIs(t, Refusef("", "read: %w", context.Canceled), context.Canceled)
	require.ErrorIs(t, Failf("", "read: %w", context.Canceled), context.Canceled)
}
