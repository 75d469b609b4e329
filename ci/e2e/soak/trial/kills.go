package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"cutover.dev/ci/e2e/stage"
	"cutover.dev/ci/outcome"
	"cutover.dev/ci/probe"
	"cutover.dev/ci/release"
)

// Kills says what is done to deploys.
type Kills struct {
	// N is how many are killed.
	N int
	// Seed draws the moments.
	Seed uint64
	// Undisturbed is how many deploys are left alone at first: no kill comes later
	// than they take, in the median.
	Undisturbed int
	// Guarded says which are killed while they watch a bad release, so that only
	// the guard is left to act: every so many. 0: none.
	Guarded int
	// APIServer, Kubelet and Pods do a thing once that is no kill of the program: the
	// lab's process dies for a while, half of the new pods vanish.
	APIServer, Kubelet, Pods bool
}

// Event is one deploy, what was done to it and what came of it.
type Event struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Version string    `json:"version"` // that was deployed
	// After is the time from the deploy's start to the blow, Step what the record
	// said then.
	After float64 `json:"after_s,omitempty"`
	Step  string  `json:"step,omitempty"`
	// Command settled it and ended with Code.
	Command string          `json:"command"`
	Code    int             `json:"code"`
	Outcome release.Outcome `json:"outcome"`
	Serving string          `json:"serving"` // version, afterwards
	// Recovery is the time from the blow to the command's end; Back that to the
	// moment in which the guard had led the users back.
	Recovery float64 `json:"recovery_s,omitempty"`
	Back     float64 `json:"led_back_s,omitempty"`
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"`
	// Bad is how many more the bad release answered with an error of its own.
	Bad   int      `json:"failed_by_bad_release,omitempty"`
	Wrong []string `json:"wrong,omitempty"`
}

// KillsReport is what came of Kills.
type KillsReport struct {
	Kills      int     `json:"kills"`
	Resumed    int     `json:"resumed"`
	RolledBack int     `json:"rolled_back"`
	Guarded    int     `json:"guarded"`
	Requests   int     `json:"requests"`
	Failed     int     `json:"failed"`
	Bad        int     `json:"failed_by_bad_release"`
	Longest    float64 `json:"longest_recovery_s"`
	Seed       uint64  `json:"seed"`
	Median     float64 `json:"undisturbed_s"`
	Events     []Event `json:"events"`
}

// Wrong returns everything that was not as it has to be.
func (r KillsReport) Wrong() error {
	var wrong []error
	for i, e := range r.Events {
		for _, w := range e.Wrong {
			wrong = append(wrong, fmt.Errorf("event %d, %s of version %s after %.1f s (%s), then %s: %s", i+1, e.Kind, e.Version, e.After, e.Step, e.Command, w))
		}
	}
	if r.Failed > 0 {
		wrong = append(wrong, fmt.Errorf("%d of %d requests failed", r.Failed, r.Requests))
	}
	return errors.Join(wrong...)
}

// killing is a Kills at work.
type killing struct {
	*Trial
	Kills
	random *rand.Rand
	load   *stage.Load
	median time.Duration
	begun  time.Time // of the second from which on requests belong to the next event
	wrong  int       // events
	report KillsReport
}

// killRate is the load under which deploys are killed, in requests per second.
const killRate = 100

// Kill does to deploys what k says, one after the other. The error says that it
// could not be done; what went wrong by it is in the report.
func (t *Trial) Kill(ctx context.Context, k Kills) (KillsReport, error) {
	load, err := t.StartLoad(ctx, t.good[0].Bundle, stage.Traffic{Name: "load-kills", Rate: killRate, Read: "/notes?limit=5", Write: "/notes", AtMost: 24 * time.Hour})
	if err != nil {
		return KillsReport{}, err
	}
	w := &killing{Trial: t, Kills: k, random: rand.New(rand.NewPCG(k.Seed, 0)), load: load, report: KillsReport{Seed: k.Seed, Events: []Event{}}}
	err = w.all(ctx)
	_, result, stopErr := load.Stop(context.WithoutCancel(ctx))
	w.report.Requests, w.report.Failed = result.OK+result.Failed, result.Failed-w.report.Bad
	return w.report, errors.Join(err, stopErr)
}

func (w *killing) all(ctx context.Context) error {
	if err := w.measure(ctx); err != nil {
		return err
	}
	others := w.others()
	share := w.N / (len(others) + 1) // they are spread over the kills
	for w.report.Kills < w.N {
		round := w.kill
		if n := w.report.Kills + 1; w.Guarded > 0 && n%w.Guarded == 0 {
			round = w.guard
		}
		if err := round(ctx); err != nil {
			return err
		}
		if len(others) > 0 && w.report.Kills >= w.N-share*len(others) {
			if err := others[0](ctx); err != nil {
				return err
			}
			others = others[1:]
		}
	}
	for _, other := range others {
		if err := other(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *killing) others() (list []func(context.Context) error) {
	if w.APIServer {
		list = append(list, w.outage("kube-apiserver"))
	}
	if w.Pods {
		list = append(list, w.vanish)
	}
	if w.Kubelet {
		list = append(list, w.outage("kubelet"))
	}
	return list
}

// measure deploys without disturbance, for the median.
func (w *killing) measure(ctx context.Context) error {
	var took []time.Duration
	for range max(1, w.Undisturbed) {
		rec, err := w.Record(ctx)
		if err != nil {
			return err
		}
		e := Event{At: time.Now(), Kind: "undisturbed", Version: w.next(rec).Name, Command: "deploy"}
		call, err := w.take(ctx, w.next(rec))
		if err != nil {
			return err
		}
		took = append(took, call.Took)
		if err := w.settle(ctx, &e, nil); err != nil {
			return err
		}
	}
	slices.Sort(took)
	w.median = took[len(took)/2]
	w.report.Median = w.median.Seconds()
	return nil
}

// kill kills a deploy at a random moment and has it settled by `resume` and
// `rollback` in turn.
func (w *killing) kill(ctx context.Context) error {
	before, err := w.Record(ctx)
	if err != nil {
		return err
	}
	e := Event{At: time.Now(), Kind: "kill", Version: w.next(before).Name}
	moment := time.Duration(w.random.Int64N(int64(w.median)))
	p, err := w.Deploy(ctx, w.next(before))
	if err != nil {
		return err
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.Ended():
	}
	killed := p.Kill()
	struck := time.Now()
	e.After = moment.Seconds()
	if !killed { // it was faster than the median
		e.Kind = "too late for a kill"
		if call, err := p.Wait(); err != nil || call.Code != int(outcome.Done) {
			e.Wrong = append(e.Wrong, fmt.Sprintf("the deploy ended with %d: %s", call.Code, lastWords(call)))
		}
	}
	if err := w.look(ctx, &e, before); err != nil {
		return err
	}
	e.Command = "resume"
	if w.report.Resumed > w.report.RolledBack { // in turn
		e.Command = "rollback"
	}
	if err := w.carryOn(ctx, &e, struck); err != nil {
		return err
	}
	if killed {
		w.count(e)
	}
	return w.settle(ctx, &e, func(rec *release.Record) error { return judge(e, before, rec, struck) })
}

// look notes which step the record names.
func (w *killing) look(ctx context.Context, e *Event, before *release.Record) error {
	rec, err := w.Record(ctx)
	if err != nil {
		return err
	}
	e.Step = at(rec, before)
	w.Say("%d: %s of version %s after %.1f s, at %s", len(w.report.Events)+1, e.Kind, e.Version, e.After, e.Step)
	return nil
}

// at returns how far the run has come that began after before.
func at(rec, before *release.Record) string {
	if rec.Number == before.Number {
		return "not begun"
	}
	if rec.Finished() {
		return "finished"
	}
	step := "begun"
	for _, s := range rec.Steps {
		if s.State != release.Pending {
			step = s.Name + " " + string(s.State)
		}
	}
	return step
}

// carryOn runs the event's command.
func (w *killing) carryOn(ctx context.Context, e *Event, struck time.Time) error {
	var more []string
	if e.Command == "resume" {
		more = w.WithSecrets()
	}
	p, err := w.Cutover(ctx, e.Command, more...)
	if err != nil {
		return err
	}
	call, err := ended(p)
	if err != nil {
		return err
	}
	e.Code, e.Recovery = call.Code, call.End.Sub(struck).Seconds()
	switch outcome.Code(call.Code) {
	case outcome.Done, outcome.RolledBack, outcome.Refused:
	default:
		e.Wrong = append(e.Wrong, fmt.Sprintf("%s ended with %d: %s", e.Command, call.Code, lastWords(call)))
	}
	return nil
}

// judge says whether the command's exit code fits the record.
func judge(e Event, before, rec *release.Record, struck time.Time) error {
	finished := rec.Ended != nil && rec.Ended.Before(struck)
	fits := true
	switch outcome.Code(e.Code) {
	case outcome.Refused: // there was nothing to settle
		fits = rec.Number == before.Number || finished
	case outcome.RolledBack: // `rollback` ends with Done when it did what it was asked for
		return fmt.Errorf("%s took a good release back: %s", e.Command, rec.Error)
	case outcome.Done:
		fits = rec.Outcome == release.Succeeded || e.Command == "rollback" && rec.Outcome == release.RolledBack
	}
	if !fits {
		return fmt.Errorf("%s ended with %d, but the record says %q of run %d, at %s when it was killed", e.Command, e.Code, rec.Outcome, rec.Number, e.Step)
	}
	return nil
}

func (w *killing) count(e Event) {
	w.report.Kills++
	switch {
	case e.Kind == "guard":
		w.report.Guarded++
	case e.Command == "resume":
		w.report.Resumed++
	default:
		w.report.RolledBack++
	}
	w.report.Longest = max(w.report.Longest, e.Recovery)
}

// settle checks how the event has left everything, and files it.
func (w *killing) settle(ctx context.Context, e *Event, more func(*release.Record) error) error {
	rec, wrong := w.settled(ctx)
	if rec != nil {
		e.Outcome = rec.Outcome
		if live := rec.ServingRelease(); live != nil {
			e.Serving = live.Version
		}
		if more != nil {
			wrong = errors.Join(wrong, more(rec))
		}
	}
	if e.Code != int(outcome.Refused) { // else the dead process's lock has yet to run out
		wrong = errors.Join(wrong, w.unlocked(ctx))
	}
	if wrong != nil {
		e.Wrong = append(e.Wrong, wrong.Error())
	}
	if err := w.load.Past(ctx, time.Now()); err != nil {
		return err
	}
	seen := w.load.Since(w.begun)
	w.begun = seen.Last.Add(time.Second)
	e.Requests, e.Failed = seen.OK+seen.Failed, seen.Failed-e.Bad
	if e.Failed > 0 {
		e.Wrong = append(e.Wrong, seen.Verdict(1, e.Bad).Error())
	}
	w.report.Bad += e.Bad
	w.report.Events = append(w.report.Events, *e)
	w.Say("%d: %s ended with %d: %s, version %s serves; %.1f s; %d of %d requests failed", len(w.report.Events), e.Command, e.Code, e.Outcome, e.Serving, e.Recovery, e.Failed, e.Requests)
	for _, text := range e.Wrong {
		w.Say("%d: WRONG: %s", len(w.report.Events), text)
	}
	if len(e.Wrong) > 0 {
		w.wrong++
	}
	if w.wrong >= enough {
		return errors.New("so much goes wrong that there is no use in going on")
	}
	return nil
}

// enough is how many events may go wrong before the rest is not tried any more.
const enough = 5

// badAnswers counts the errors that a bad release answered by itself while it
// had users. Nothing but such answers may go wrong then, either.
func badAnswers(seconds []probe.Second, from, to time.Time) (n int) {
	for _, s := range seconds {
		if s.At.Add(time.Second).After(from) && s.At.Before(to) {
			n += s.Failures[probe.Status]
		}
	}
	return n
}
