package rollout

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cutover.dev/ci/config"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/plan"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

func autoscaled(version string) plan.Input {
	in := input(version)
	in.Env.Autoscale = &config.Autoscale{Min: 3, Max: 10, CPU: 70}
	return in
}

// growOnce makes what serves grow to size in the moment of the next switch, as an
// autoscaler may; from then on the users need that many pods.
func (s *session) growOnce(size int) {
	s.grow = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if live := s.colours[s.selects]; live != nil && live.size < size {
			live.size, live.ready = size, size
		}
	}
}

func TestTheNewColourIsRaisedAsLargeAsTheOneThatServes(t *testing.T) {
	w := worldWith(t, "1")
	w.colours[release.Blue].size, w.colours[release.Blue].ready, w.enough = 7, 7, 7
	rec, err := w.deploy("2")
	require.NoError(t, err)
	require.Equal(t, 7, rec.Replicas)
	require.Equal(t, 7, w.colours[release.Green].size)
}

func TestWhatGrewBetweenVerifyAndSwitchIsMatchedBeforeTheSwitch(t *testing.T) {
	w := newWorld(t)
	_, err := w.session().deployer(autoscaled("1")).Deploy(context.Background())
	require.NoError(t, err)
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "probe of preview" && after { // verified; the autoscaler acts now
			w.colours[release.Blue].size, w.colours[release.Blue].ready, w.enough = 8, 8, 8
		}
		return nil
	}
	rec, err := s.deployer(autoscaled("2")).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, 8, rec.Replicas)
	require.Equal(t, 8, w.colours[release.Green].size, "the world has checked that it was so from the switch on")
}

func TestWhatGrewInTheMomentOfTheSwitchIsMatchedRightAfterIt(t *testing.T) {
	w := worldWith(t, "1")
	s := w.session()
	s.growOnce(5)
	rec, err := s.deployer(input("2")).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, 5, rec.Replicas)
	require.Equal(t, 5, w.colours[release.Green].size)
}

func TestWhatGrewWhileItBakedIsMatchedBeforeItIsSwitchedBack(t *testing.T) {
	w := newWorld(t)
	_, err := w.session().deployer(autoscaled("1")).Deploy(context.Background())
	require.NoError(t, err)
	w.lossy["2"] = true
	s := w.session()
	s.trouble = func(call string, after bool) error {
		if call == "probe of live" && !after && w.selects == release.Green {
			w.colours[release.Green].size, w.colours[release.Green].ready, w.enough = 9, 9, 9
		}
		return nil
	}
	_, err = s.deployer(autoscaled("2")).Deploy(context.Background())
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.Equal(t, 9, w.colours[release.Blue].size)
	require.Equal(t, 3, w.colours[release.Blue].least, "its autoscaler has its own minimum back")
}

func TestMinimumsArePinnedFromRaiseToTheEndOfBake(t *testing.T) {
	w := newWorld(t)
	_, err := w.session().deployer(autoscaled("1")).Deploy(context.Background())
	require.NoError(t, err)
	require.Equal(t, 3, w.colours[release.Blue].least)
	w.colours[release.Blue].size, w.colours[release.Blue].ready, w.enough = 6, 6, 6

	s := w.session()
	pinned := 0
	s.trouble = func(call string, after bool) error {
		switch call {
		case "probe of preview", "select green", "answers of live", "probe of live":
			if w.colours[release.Blue].size > 0 { // not after it was retired
				pinned++
				require.Equal(t, 6, w.colours[release.Blue].least, call)
				require.Equal(t, 6, w.colours[release.Green].least, call)
			}
		}
		return nil
	}
	rec, err := s.deployer(autoscaled("2")).Deploy(context.Background())
	require.NoError(t, err)
	require.Positive(t, pinned)
	require.Equal(t, 3, rec.Pinned)
	require.Equal(t, 3, w.colours[release.Green].least)
	require.Zero(t, w.colours[release.Blue].least, "a colour without pods has no autoscaler")
	require.Equal(t, 6, w.colours[release.Green].size)
}

func TestEveryUndoTakesThePinsOff(t *testing.T) {
	for _, call := range []string{"apply green", "wait ready", "answers of preview", "probe of preview", "select green", "answers of live", "probe of live"} {
		t.Run(call, func(t *testing.T) {
			w := newWorld(t)
			_, err := w.session().deployer(autoscaled("1")).Deploy(context.Background())
			require.NoError(t, err)
			w.colours[release.Blue].size, w.colours[release.Blue].ready = 6, 6
			s := w.session()
			once := false
			s.trouble = func(name string, after bool) error {
				if name == call && after && !once {
					once = true
					return errors.New("no")
				}
				return nil
			}
			_, err = s.deployer(autoscaled("2")).Deploy(context.Background())
			require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
			require.Equal(t, 3, w.colours[release.Blue].least)
			require.Equal(t, 6, w.colours[release.Blue].size, "what an autoscaler decided stays")
			require.Zero(t, w.colours[release.Green].size)
		})
	}
}

func TestWhileTheColoursOverlapBothServe(t *testing.T) {
	w := worldWith(t, "1")
	in := input("2")
	in.Env.Switch.Overlap = time.Millisecond
	before := len(w.calls)
	_, err := w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	inOrder(t, w.since(before), "select both", "select green", "wait endpoints")
	w.serves("2")
}

func TestARunKilledWhileTheColoursOverlapIsSettledEitherWay(t *testing.T) {
	for _, forward := range []bool{true, false} {
		w := worldWith(t, "1")
		in := input("2")
		in.Env.Switch.Overlap = time.Millisecond
		s := w.session()
		s.trouble = func(call string, after bool) error {
			s.dead = s.dead || call == "select both" && after
			return nil
		}
		_, err := s.deployer(in).Deploy(context.Background())
		require.Error(t, err)
		w.abandon()
		require.Equal(t, release.Both, w.selects)
		if forward {
			_, err = w.session().deployer(in).Resume(context.Background())
			require.NoError(t, err)
			w.serves("2")
		} else {
			_, err = w.rollback("", ThenSecrets)
			require.NoError(t, err)
			w.serves("1")
		}
	}
}

func TestAVersionThatIsTooSlowForTooLongIsSwitchedBack(t *testing.T) {
	in := input("2")
	in.Env.Probe.P99 = 100 * time.Millisecond
	bake := func(slow int) error {
		w := worldWith(t, "1")
		for i := range 40 {
			s := probe.Second{At: w.clock.Add(time.Hour + time.Duration(i)*time.Second), Count: probe.Count{OK: 20}}
			if i < slow {
				s.P99 = 200
			}
			w.seconds = append(w.seconds, s)
		}
		_, err := w.session().deployer(in).Deploy(context.Background())
		return err
	}
	require.NoError(t, bake(4))
	err := bake(5)
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "since the switch, answers were too slow: in 5 of 40 seconds the p99 was over 100ms, in the worst 200ms")
}

func TestAVersionThatLosesRequestsWhileItBakesIsSwitchedBack(t *testing.T) {
	w := worldWith(t, "1")
	w.lossy["2"] = true
	rec, err := w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step bake: since the switch, requests were lost: 5 of 1005 failed")
	require.Equal(t, 5, rec.Probe.Failed)
	require.Equal(t, 5, w.stored().Probe.Failed, "the evidence is kept")
	w.serves("1")
}

func TestAVersionThatLosesRequestsWhenAPodEndsNeverServes(t *testing.T) {
	w := worldWith(t, "1")
	w.abrupt["2"] = true
	before := len(w.calls)
	_, err := w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "step verify: drain test: while pod notes-x ended, requests were lost")
	require.Contains(t, outcome.Explain(err), "SIGTERM")
	require.NotContains(t, w.since(before), "select green")
	w.serves("1")
}

func TestAPodThatHeldNoConnectionProvesNothing(t *testing.T) {
	w := worldWith(t, "1")
	w.abrupt["2"], w.unheld = true, 2
	_, err := w.deploy("2")
	require.Equal(t, outcome.RolledBack, outcome.CodeOf(err))
	require.ErrorContains(t, err, "drain test")

	w.unheld = 2
	rec, err := w.deploy("3")
	require.NoError(t, err)
	require.Contains(t, rec.Step("verify").Note, "3 pods ended, one after the other, under load: 0 of 3000 requests failed")
	w.serves("3")
}

func TestADrainTestWithoutKeptConnectionsEndsAndSaysSo(t *testing.T) {
	w := worldWith(t, "1")
	w.unheld = 1000
	rec, err := w.deploy("2")
	require.NoError(t, err)
	require.Contains(t, rec.Step("verify").Note, "3 pods ended, one after the other, under load: 0 of 3000 requests failed, but no kept-alive connection was on them")
}

func TestToleratedFailuresAreToldAndDoNotRollBack(t *testing.T) {
	w := worldWith(t, "1")
	w.lossy["2"] = true
	in := input("2")
	in.Env.Probe.Tolerate = 5
	rec, err := w.session().deployer(in).Deploy(context.Background())
	require.NoError(t, err)
	require.Contains(t, rec.Step("bake").Note, "5 of 1005 requests failed")
	w.serves("2")
}
