package history

import (
	"fmt"
	"slices"
)

// checkAudit compares the audit trail with the requests and the events: each change has exactly one entry, and there are no other
// entries.
func checkAudit(ix index) (all []Violation) {
	type key struct {
		op     int
		action string
	}
	entries, counts := map[key]int{}, map[string]int{}
	for _, e := range ix.Final.Audit {
		counts[e.User+" "+e.Action]++
		if e.Op == 0 || ix.erased[e.User] {
			continue
		}
		o, known := ix.ops[e.Op]
		entries[key{e.Op, e.Action}]++
		if !known || o.Outcome == Refused && effectsOf[o.Kind].entry == e.Action {
			all = append(all, Violation{
				Rule: "audit", User: e.User, At: o.Start, Text: fmt.Sprintf("an entry without its change: %+v\n\t%s", e, o),
			})
		}
	}
	for _, o := range ix.Ops {
		e := effectsOf[o.Kind]
		if e.entry == "" || o.User == "" || o.Outcome == Refused {
			continue
		}
		if ix.erased[o.User] {
			if o.Kind == Erase && counts[o.User+" "+e.entry] != 1 {
				all = append(all, breach("audit", o, "%d entries of the erasure", counts[o.User+" "+e.entry]))
			}
			continue
		}
		announced := slices.ContainsFunc(ix.caused[o.ID], func(made Event) bool { return made.Type == e.event })
		n := entries[key{o.ID, e.entry}]
		if n > 1 || announced != (n == 1) && !ix.forgiven(o) {
			all = append(all, breach("audit", o, "%d entries %s; announced: %t", n, e.entry, announced))
		}
	}
	return all
}
