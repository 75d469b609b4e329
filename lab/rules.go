package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strings"
)

// The CNI plugins of pods and of Dagger's containers write iptables rules and
// take them back when a container ends in order. After a kill they stay, and
// removeRules takes those of one network away.
func removeRules(ctx context.Context, network string) error {
	_, within, err := net.ParseCIDR(network)
	if err != nil {
		return err
	}
	for _, family := range []struct{ tables, nft string }{{"iptables", "ip"}, {"ip6tables", "ip6"}} {
		saved, err := exec.CommandContext(ctx, family.tables+"-save").Output()
		if err != nil {
			continue // no such program, or no such family in this kernel: no rules
		}
		if script := withdraw(string(saved), within); script != "" {
			cmd := exec.CommandContext(ctx, family.tables+"-restore", "--noflush")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("cannot remove the %s rules of %s: %v: %s", family.tables, network, err, out)
			}
		}
		saved, _ = exec.CommandContext(ctx, family.tables+"-save").Output()
		for _, table := range emptyTables(string(saved)) {
			// iptables keeps its tables in nft and makes them again when it
			// needs them. Where it does not, there is nothing to delete.
			_ = exec.CommandContext(ctx, "nft", "delete", "table", family.nft, table).Run()
		}
	}
	return nil
}

var (
	address    = regexp.MustCompile(`(?:^| )-[sd] ([0-9./]+)`)
	jumpsTo    = regexp.MustCompile(` -j (CNI-[0-9a-f]{24}|CNI-[A-Z-]+)\b`)
	ownedChain = regexp.MustCompile(`^CNI-[0-9a-f]{24}$`) // one container's
)

// withdraw turns what iptables-save printed into the script that removes the
// rules about addresses of the network, the chains only they led to, and the
// plugins' common chains if nobody else uses them.
func withdraw(saved string, network *net.IPNet) string {
	var script strings.Builder
	for _, table := range tables(saved) {
		chains := map[string]bool{} // to be removed
		var rules, kept []string
		for _, rule := range table.rules {
			jump := jumpsTo.FindStringSubmatch(rule)
			switch {
			case !about(rule, network):
				kept = append(kept, rule)
			case jump != nil && ownedChain.MatchString(jump[1]):
				chains[jump[1]] = true
				rules = append(rules, rule)
			case !chains[chainOf(rule)] && !ownedChain.MatchString(chainOf(rule)):
				rules = append(rules, rule)
			}
		}
		// The firewall plugin's common chains: FORWARD leads to CNI-FORWARD,
		// and that to CNI-ADMIN, for rules of the machine's owner.
		if table.has("CNI-FORWARD") && count(kept, "CNI-FORWARD") <= 1 && count(kept, "CNI-ADMIN") == 0 {
			for _, rule := range kept {
				if jump := jumpsTo.FindStringSubmatch(rule); jump != nil && (jump[1] == "CNI-FORWARD" || jump[1] == "CNI-ADMIN") {
					rules = append(rules, rule)
				}
			}
			chains["CNI-FORWARD"] = true
			if table.has("CNI-ADMIN") {
				chains["CNI-ADMIN"] = true
			}
		}
		if len(rules)+len(chains) == 0 {
			continue
		}
		fmt.Fprintf(&script, "*%s\n", table.name)
		for _, rule := range rules {
			fmt.Fprintf(&script, "-D%s\n", strings.TrimPrefix(rule, "-A"))
		}
		for _, chain := range table.chains { // in their order, so that the script is always the same
			if chains[chain] {
				fmt.Fprintf(&script, "-F %s\n", chain)
			}
		}
		for _, chain := range table.chains {
			if chains[chain] {
				fmt.Fprintf(&script, "-X %s\n", chain)
			}
		}
		script.WriteString("COMMIT\n")
	}
	return script.String()
}

type table struct {
	name     string
	chains   []string
	policies []string // the chains' policies, "-" for those that are not built in
	rules    []string
}

func (t table) has(chain string) bool {
	for _, c := range t.chains {
		if c == chain {
			return true
		}
	}
	return false
}

func tables(saved string) (all []table) {
	for _, line := range strings.Split(saved, "\n") {
		switch {
		case strings.HasPrefix(line, "*"):
			all = append(all, table{name: line[1:]})
		case strings.HasPrefix(line, ":"):
			if fields := strings.Fields(line[1:]); len(fields) > 1 {
				t := &all[len(all)-1]
				t.chains = append(t.chains, fields[0])
				t.policies = append(t.policies, fields[1])
			}
		case strings.HasPrefix(line, "-A "):
			t := &all[len(all)-1]
			t.rules = append(t.rules, line)
		}
	}
	return all
}

// emptyTables names the tables that change no packet's way.
func emptyTables(saved string) (names []string) {
	for _, t := range tables(saved) {
		empty := len(t.rules) == 0
		for _, policy := range t.policies {
			empty = empty && policy == "ACCEPT"
		}
		if empty {
			names = append(names, t.name)
		}
	}
	return names
}

func chainOf(rule string) string { return strings.Fields(rule)[1] }

func count(rules []string, chain string) (n int) {
	for _, rule := range rules {
		if chainOf(rule) == chain {
			n++
		}
	}
	return n
}

func about(rule string, network *net.IPNet) bool {
	for _, match := range address.FindAllStringSubmatch(rule, -1) {
		ip, _, err := net.ParseCIDR(match[1])
		if err != nil {
			ip = net.ParseIP(match[1])
		}
		if ip != nil && network.Contains(ip) {
			return true
		}
	}
	return false
}
