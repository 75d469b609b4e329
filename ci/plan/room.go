package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"cutover.dev/ci/release"
)

// rightFindings tell of rights that the account lacks.
func rightFindings(in Input, seen Observed, add adder) {
	for _, r := range seen.Denied {
		if !r.advisory() {
			add("give the account the Role in README.md under \"The rights it needs\"; then `kubectl auth can-i "+r.Verb+" "+r.Resource+" --namespace="+in.Env.Namespace+"` answers yes",
				"the account may not %s in the namespace %s", r, in.Env.Namespace)
		}
	}
}

// quotaFindings hold what a run adds against the namespace's quotas: what would
// not be let in would only show as pods that are never made.
func quotaFindings(in Input, seen Observed, size int, add adder) {
	needs := demand(in, size)
	for _, q := range seen.Quotas {
		if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue // it may count other pods only
		}
		for _, name := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
			hard, used := q.Spec.Hard[name], q.Status.Used[name]
			need, counted := needs[canonical(name)]
			if !counted {
				continue
			}
			sum := used.DeepCopy()
			sum.Add(need)
			if sum.Cmp(hard) > 0 {
				add("a larger quota, or less: resources, replicas or verify.drain in envs/"+in.Env.Name+".yaml",
					"the quota %s allows %s of %s; %s are used and the run needs %s more", q.Name, hard.String(), name, used.String(), need.String())
			}
		}
	}
}

// canonical names a resource as demand does: quotas know two names for some.
func canonical(name corev1.ResourceName) corev1.ResourceName {
	switch name {
	case corev1.ResourceCPU:
		return corev1.ResourceRequestsCPU
	case corev1.ResourceMemory:
		return corev1.ResourceRequestsMemory
	case "count/pods":
		return corev1.ResourcePods
	}
	return name
}

// demand is what a run adds to the namespace at its height: the new colour, one
// pod more for the drain test, the agent, and one Job.
func demand(in Input, size int) corev1.ResourceList {
	if in.Env.Verify.Drain {
		size++
	}
	r := candidate(in)
	total := corev1.ResourceList{}
	count := func(spec corev1.PodSpec, times int) {
		for range times {
			for name, q := range request(spec) {
				if name != corev1.ResourcePods { // which quotas count under its own name
					name = "requests." + name
				}
				sum(total, name, q)
			}
			for _, c := range spec.Containers {
				for name, limit := range c.Resources.Limits {
					sum(total, "limits."+name, limit)
				}
			}
		}
	}
	count(podSpec(r), size)
	rec := &release.Record{Release: r}
	count(AgentPod(rec, 0).Spec, 1)
	switch {
	case r.Env.Migrations != nil:
		count(MigrateJob(rec).Spec.Template.Spec, 1)
	case r.Env.Smoke != nil:
		count(SmokeJob(rec, "", "").Spec.Template.Spec, 1)
	}
	return total
}

func sum(total corev1.ResourceList, name corev1.ResourceName, more resource.Quantity) {
	q := total[name]
	q.Add(more)
	total[name] = q
}

// rangeFindings hold the pods' own sizes against the namespace's limits.
func rangeFindings(in Input, seen Observed, add adder) {
	for _, lr := range seen.LimitRanges {
		for _, item := range lr.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer && item.Type != corev1.LimitTypePod {
				continue
			}
			for _, c := range podSpec(candidate(in)).Containers {
				outside(item, c.Resources, func(name corev1.ResourceName, has, bound resource.Quantity, how string) {
					add("change resources in envs/"+in.Env.Name+".yaml, or the LimitRange",
						"the LimitRange %s wants %s of %s %s, but resources say %s", lr.Name, how, name, bound.String(), has.String())
				})
			}
		}
	}
}

func outside(item corev1.LimitRangeItem, r corev1.ResourceRequirements, tell func(name corev1.ResourceName, has, bound resource.Quantity, how string)) {
	for _, name := range slices.Sorted(maps.Keys(item.Max)) {
		if limit, given := r.Limits[name]; given && limit.Cmp(item.Max[name]) > 0 {
			tell(name, limit, item.Max[name], "at most")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(item.Min)) {
		request, given := r.Requests[name]
		if !given {
			request, given = r.Limits[name]
		}
		if given && request.Cmp(item.Min[name]) < 0 {
			tell(name, request, item.Min[name], "at least")
		}
	}
}

// roomNote says how many of the new colour's pods have no node to go to, empty when
// all have or nobody knows. It is advice: pods may leave, and nodes may come.
func roomNote(in Input, nodes []Node, size int) string {
	if len(nodes) == 0 {
		return ""
	}
	if in.Env.Verify.Drain {
		size++
	}
	need := request(podSpec(candidate(in)))
	placed := 0
	for _, n := range nodes {
		for free := n.Free.DeepCopy(); placed < size && take(free, need); placed++ {
		}
	}
	if placed == size {
		return ""
	}
	return fmt.Sprintf("the nodes have room for %d of the new colour's %d pods at the moment (each reserves %s); the others wait until something leaves or a node comes",
		placed, size, amounts(need))
}

// request is what the scheduler reserves for a pod.
func request(spec corev1.PodSpec) corev1.ResourceList {
	total := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(1, resource.DecimalSI)}
	for _, c := range spec.Containers {
		for name, q := range c.Resources.Limits {
			if _, requested := c.Resources.Requests[name]; !requested { // Kubernetes takes the limit then
				sum(total, name, q)
			}
		}
		for name, q := range c.Resources.Requests {
			sum(total, name, q)
		}
	}
	return total
}

// take takes need out of free and reports whether there was so much of everything.
func take(free, need corev1.ResourceList) bool {
	for name, q := range need {
		if has := free[name]; has.Cmp(q) < 0 {
			return false
		}
	}
	subtract(free, need)
	return true
}

func subtract(from, what corev1.ResourceList) {
	for name, q := range what {
		rest := from[name]
		rest.Sub(q)
		from[name] = rest
	}
}

// amounts lists what is reserved, without the count of pods.
func amounts(list corev1.ResourceList) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if name != corev1.ResourcePods {
			q := list[name]
			parts = append(parts, q.String()+" of "+string(name))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// Reserve returns what is left of allocatable once the pods have theirs.
func Reserve(allocatable corev1.ResourceList, pods []corev1.PodSpec) corev1.ResourceList {
	free := allocatable.DeepCopy()
	for _, spec := range pods {
		subtract(free, request(spec))
	}
	return free
}
