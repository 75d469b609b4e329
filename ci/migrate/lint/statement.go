package lint

import (
	"errors"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/wasilibs/go-pgquery/parser"
)

// position is where the grammar gave up, as an offset.
func position(err error) (int, bool) {
	if e := new(parser.Error); errors.As(err, &e) && e.Cursorpos > 0 {
		return e.Cursorpos - 1, true
	}
	return 0, false
}

// statement holds one statement against the rules.
func (r *reading) statement(node *pg.Node) {
	switch s := node.GetNode().(type) {
	case *pg.Node_CreateStmt:
		r.createTable(s.CreateStmt)
	case *pg.Node_CreateTableAsStmt:
		r.made[relation(s.CreateTableAsStmt.GetInto().GetRel())] = true
	case *pg.Node_AlterTableStmt:
		r.alterTable(s.AlterTableStmt)
	case *pg.Node_IndexStmt:
		r.index(s.IndexStmt)
	case *pg.Node_DropStmt:
		r.drop(s.DropStmt)
	case *pg.Node_RenameStmt:
		r.rename(s.RenameStmt)
	case *pg.Node_AlterObjectSchemaStmt:
		r.hit("set-schema", "moves %s to the schema %s", relation(s.AlterObjectSchemaStmt.Relation), s.AlterObjectSchemaStmt.Newschema)
	case *pg.Node_AlterEnumStmt:
		r.alterEnum(s.AlterEnumStmt)
	case *pg.Node_ReindexStmt:
		r.reindex(s.ReindexStmt)
	case *pg.Node_VacuumStmt:
		r.vacuum(s.VacuumStmt)
	case *pg.Node_ClusterStmt:
		r.hit("blocks-table", "sorts %s anew", relation(s.ClusterStmt.Relation))
	case *pg.Node_LockStmt:
		r.hit("blocks-table", "locks %s", list(s.LockStmt.Relations))
	case *pg.Node_RefreshMatViewStmt:
		r.refresh(s.RefreshMatViewStmt)
	case *pg.Node_TruncateStmt:
		r.truncate(s.TruncateStmt)
	case *pg.Node_DeleteStmt:
		r.rows("deletes", s.DeleteStmt.Relation, s.DeleteStmt.WhereClause)
	case *pg.Node_UpdateStmt:
		r.rows("updates", s.UpdateStmt.Relation, s.UpdateStmt.WhereClause)
	case *pg.Node_InsertStmt:
		if s.InsertStmt.GetSelectStmt().GetSelectStmt().GetFromClause() != nil {
			r.fills(s.InsertStmt.Relation)
		}
	default:
		r.other(node)
	}
}

// other holds the statements against the rules that are about no table.
func (r *reading) other(node *pg.Node) {
	switch s := node.GetNode().(type) {
	case *pg.Node_TransactionStmt:
		if !r.NoTransaction {
			r.hit("transaction-control", "begins or ends a transaction")
		}
	case *pg.Node_VariableSetStmt:
		if !s.VariableSetStmt.IsLocal {
			r.hit("session-setting", "sets %s for the whole session", s.VariableSetStmt.Name)
		}
	case *pg.Node_DoStmt:
		r.hit("not-analysed", "runs a block of code")
	case *pg.Node_CallStmt:
		r.hit("not-analysed", "calls a procedure")
	case *pg.Node_ViewStmt:
		r.made[relation(s.ViewStmt.View)] = true
		if s.ViewStmt.Replace {
			r.hit("change-behaviour", "replaces the view %s", relation(s.ViewStmt.View))
		}
	case *pg.Node_CreateFunctionStmt:
		if s.CreateFunctionStmt.Replace {
			r.hit("change-behaviour", "replaces the function %s", dotted(s.CreateFunctionStmt.Funcname))
		}
	case *pg.Node_CreateTrigStmt:
		if table := relation(s.CreateTrigStmt.Relation); !r.made[table] {
			r.hit("change-behaviour", "makes a trigger on %s", table)
			r.locks(table)
		}
	case *pg.Node_CreatePolicyStmt:
		if table := relation(s.CreatePolicyStmt.Table); !r.made[table] {
			r.hit("change-behaviour", "makes a policy on %s", table)
		}
	case *pg.Node_GrantStmt:
		if !s.GrantStmt.IsGrant {
			r.hit("change-behaviour", "takes rights away")
		}
	case *pg.Node_AlterDomainStmt:
		r.alterDomain(s.AlterDomainStmt)
	case *pg.Node_DropdbStmt:
		r.hit("drop-object", "drops the database %s", s.DropdbStmt.Dbname)
	default:
		r.settings(node)
	}
}

// settings are the statements that change how the server or what is in it behaves.
func (r *reading) settings(node *pg.Node) {
	switch node.GetNode().(type) {
	case *pg.Node_AlterPolicyStmt:
		r.hit("change-behaviour", "changes a policy")
	case *pg.Node_AlterFunctionStmt:
		r.hit("change-behaviour", "changes a function")
	case *pg.Node_AlterSeqStmt:
		r.hit("change-behaviour", "changes a sequence")
	case *pg.Node_AlterExtensionStmt:
		r.hit("change-behaviour", "changes an extension")
	case *pg.Node_AlterRoleStmt, *pg.Node_AlterRoleSetStmt, *pg.Node_DropRoleStmt:
		r.hit("change-behaviour", "changes a role")
	case *pg.Node_AlterDatabaseStmt, *pg.Node_AlterDatabaseSetStmt, *pg.Node_AlterSystemStmt:
		r.hit("change-behaviour", "changes the settings of the database or the server")
	}
}

// alterDomain: a rule of a domain is one of every column that is of it.
func (r *reading) alterDomain(s *pg.AlterDomainStmt) {
	name := dotted(s.TypeName)
	if s.Subtype != "C" {
		r.hit("change-behaviour", "changes the domain %s", name)
		return
	}
	r.hit("add-check", "checks what is written as %s", name)
	if !s.GetDef().GetConstraint().GetSkipValidation() {
		r.hit("check-scans", "checks all that is stored as %s", name)
	}
}

func (r *reading) index(s *pg.IndexStmt) {
	table := relation(s.Relation)
	if r.made[table] {
		return
	}
	if s.Unique {
		r.hit("add-unique", "allows each value in %s once", table)
	}
	switch {
	case !s.Concurrent:
		r.hit("index-blocks-writes", "makes an index on %s", table)
		r.locks(table)
	case !r.NoTransaction:
		r.hit("concurrently-in-transaction", "makes an index CONCURRENTLY")
	case s.IfNotExists:
		r.hit("concurrently-if-not-exists", "makes the index %s IF NOT EXISTS", s.Idxname)
	}
}

func (r *reading) drop(s *pg.DropStmt) {
	if s.RemoveType == pg.ObjectType_OBJECT_INDEX {
		switch {
		case !s.Concurrent:
			r.hit("drop-index-blocks", "drops the index %s", list(s.Objects))
		case !r.NoTransaction:
			r.hit("concurrently-in-transaction", "drops an index CONCURRENTLY")
		}
		return
	}
	switch s.RemoveType {
	case pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_POLICY, pg.ObjectType_OBJECT_RULE:
		r.hit("change-behaviour", "drops the %s %s", kind(s.RemoveType), list(s.Objects))
	default:
		for _, object := range s.Objects {
			if name := nameOf(object); !r.made[name] {
				r.hit("drop-object", "drops the %s %s", kind(s.RemoveType), name)
			}
		}
	}
}

// kind is the word for a kind of object.
func kind(t pg.ObjectType) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.String(), "OBJECT_"), "_", " "))
}

func (r *reading) rename(s *pg.RenameStmt) {
	table := relation(s.Relation)
	if r.made[table] {
		return
	}
	old := s.Subname
	switch {
	case table != "" && old != "":
		old = table + "." + old
	case old == "":
		old = table
	}
	if old == "" {
		old = nameOf(s.Object)
	}
	if s.RenameType == pg.ObjectType_OBJECT_INDEX {
		return // nobody names an index in a query
	}
	r.hit("rename", "renames %s to %s", old, s.Newname)
	if table != "" {
		r.locks(table)
	}
}

func (r *reading) alterEnum(s *pg.AlterEnumStmt) {
	if s.OldVal != "" {
		r.hit("rename", "renames the value %s of %s to %s", s.OldVal, dotted(s.TypeName), s.NewVal)
		return
	}
	r.hit("add-enum-value", "adds the value %s to %s", s.NewVal, dotted(s.TypeName))
}

func (r *reading) reindex(s *pg.ReindexStmt) {
	concurrent := slices.ContainsFunc(s.Params, func(n *pg.Node) bool { return n.GetDefElem().GetDefname() == "concurrently" })
	switch {
	case !concurrent:
		r.hit("reindex-blocks", "makes indexes anew")
	case !r.NoTransaction:
		r.hit("concurrently-in-transaction", "makes indexes anew CONCURRENTLY")
	}
}

func (r *reading) vacuum(s *pg.VacuumStmt) {
	if slices.ContainsFunc(s.Options, func(n *pg.Node) bool { return n.GetDefElem().GetDefname() == "full" }) {
		r.hit("blocks-table", "writes whole tables anew")
	}
}

func (r *reading) refresh(s *pg.RefreshMatViewStmt) {
	switch {
	case r.made[relation(s.Relation)]:
	case !s.Concurrent:
		r.hit("blocks-table", "computes %s anew", relation(s.Relation))
	}
}

func (r *reading) truncate(s *pg.TruncateStmt) {
	for _, n := range s.Relations {
		if table := nameOf(n); !r.made[table] {
			r.hit("truncate", "empties %s", table)
		}
	}
}

// rows is a statement that writes rows that are there.
func (r *reading) rows(verb string, v *pg.RangeVar, where *pg.Node) {
	table := relation(v)
	if r.made[table] {
		return
	}
	if where == nil {
		r.hit("all-rows", "%s every row of %s", verb, table)
	}
	r.fills(v)
}

// fills notes that rows are written in the mass.
func (r *reading) fills(v *pg.RangeVar) {
	if len(r.locked) > 0 && !r.NoTransaction && !r.filled && !r.made[relation(v)] {
		r.filled = true
		r.hit("change-and-fill", "writes rows of %s after a change of %s", relation(v), r.locked[0])
	}
}

// locks notes that the file takes a lock that others wait for.
func (r *reading) locks(table string) {
	if table != "" && !slices.Contains(r.locked, table) {
		r.locked = append(r.locked, table)
	}
}

// together looks at what the file does as a whole.
func (r *reading) together() {
	if len(r.locked) > 1 && !r.NoTransaction {
		r.hit("several-tables", "locks %s one after the other", strings.Join(r.locked, ", "))
	}
}
