package lint

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
)

func (r *reading) createTable(s *pg.CreateStmt) {
	r.made[relation(s.Relation)] = true
	if s.GetPartbound() != nil && len(s.InhRelations) > 0 {
		r.locks(list(s.InhRelations))
	}
	for _, element := range s.TableElts {
		constraints := element.GetColumnDef().GetConstraints()
		if element.GetConstraint() != nil {
			constraints = append(constraints, element)
		}
		for _, c := range constraints {
			// It locks the table that it refers to, which is short; nobody's rows are in
			// the way yet.
			if parent := relation(c.GetConstraint().GetPktable()); parent != "" && !r.made[parent] {
				r.locks(parent)
			}
		}
	}
}

func (r *reading) alterTable(s *pg.AlterTableStmt) {
	table := relation(s.Relation)
	if r.made[table] {
		return // nobody knows it yet
	}
	if s.Objtype != pg.ObjectType_OBJECT_TABLE {
		r.hit("change-behaviour", "changes the %s %s", kind(s.Objtype), table)
		return
	}
	r.locks(table)
	for _, node := range s.Cmds {
		r.alter(table, node.GetAlterTableCmd())
	}
}

func (r *reading) alter(table string, c *pg.AlterTableCmd) {
	column := table + "." + c.Name
	switch c.Subtype {
	case pg.AlterTableType_AT_AddColumn:
		r.addColumn(table, c.GetDef().GetColumnDef())
	case pg.AlterTableType_AT_DropColumn:
		r.hit("drop-column", "drops %s", column)
	case pg.AlterTableType_AT_SetNotNull:
		r.hit("set-not-null", "forbids null in %s", column)
	case pg.AlterTableType_AT_DropNotNull:
		r.hit("drop-not-null", "lets %s be null", column)
	case pg.AlterTableType_AT_AlterColumnType:
		r.hit("change-type", "changes the type of %s", column)
	case pg.AlterTableType_AT_ColumnDefault:
		r.hit("change-default", "changes the default of %s", column)
	case pg.AlterTableType_AT_AddIdentity, pg.AlterTableType_AT_SetIdentity, pg.AlterTableType_AT_DropIdentity:
		r.hit("change-default", "changes whether %s is an identity", column)
	case pg.AlterTableType_AT_DropExpression, pg.AlterTableType_AT_SetExpression:
		r.hit("change-behaviour", "changes how %s is computed", column)
	case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_DisableTrig, pg.AlterTableType_AT_EnableTrigAll, pg.AlterTableType_AT_DisableTrigAll,
		pg.AlterTableType_AT_EnableTrigUser, pg.AlterTableType_AT_DisableTrigUser, pg.AlterTableType_AT_EnableAlwaysTrig, pg.AlterTableType_AT_EnableReplicaTrig:
		r.hit("change-behaviour", "turns triggers of %s on or off", table)
	case pg.AlterTableType_AT_DropInherit, pg.AlterTableType_AT_AddInherit, pg.AlterTableType_AT_ReplicaIdentity:
		r.hit("change-behaviour", "changes what %s is a part of, or how it is replicated", table)
	case pg.AlterTableType_AT_AddConstraint:
		r.addConstraint(table, c.GetDef().GetConstraint())
	case pg.AlterTableType_AT_ValidateConstraint:
		if r.unvalidated[table+"."+c.Name] && !r.NoTransaction {
			r.hit("validate-in-same-transaction", "validates %s of %s", c.Name, table)
		}
	case pg.AlterTableType_AT_DropConstraint:
		r.hit("drop-constraint", "drops the constraint %s of %s", c.Name, table)
	case pg.AlterTableType_AT_DetachPartition:
		r.detach(table, c.GetDef().GetPartitionCmd())
	case pg.AlterTableType_AT_AttachPartition:
		if part := relation(c.GetDef().GetPartitionCmd().GetName()); !r.made[part] {
			r.hit("attach-partition-scans", "makes %s a partition of %s", part, table)
		}
	case pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_ForceRowSecurity:
		r.hit("change-behaviour", "hides the rows of %s that no policy shows", table)
	case pg.AlterTableType_AT_SetTableSpace, pg.AlterTableType_AT_SetLogged, pg.AlterTableType_AT_SetUnLogged, pg.AlterTableType_AT_SetAccessMethod:
		r.hit("rewrite", "stores %s anew", table)
	}
}

func (r *reading) detach(table string, c *pg.PartitionCmd) {
	switch {
	case !c.GetConcurrent():
		r.hit("detach-partition-blocks", "takes the partition %s from %s", relation(c.GetName()), table)
	case !r.NoTransaction:
		r.hit("concurrently-in-transaction", "takes a partition away CONCURRENTLY")
	}
}

// serial are the types that come with a sequence, and a default that calls it.
var serial = []string{"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"}

func (r *reading) addColumn(table string, def *pg.ColumnDef) {
	column := table + "." + def.GetColname()
	required, given := false, false
	if slices.Contains(serial, lastName(def.GetTypeName().GetNames())) {
		given = true
		r.hit("rewrite", "adds %s with a sequence", column)
	}
	for _, node := range def.GetConstraints() {
		switch c := node.GetConstraint(); c.GetContype() {
		case pg.ConstrType_CONSTR_NOTNULL, pg.ConstrType_CONSTR_PRIMARY:
			required = true
		case pg.ConstrType_CONSTR_DEFAULT:
			given = true
			if name := volatile(c.RawExpr); name != "" {
				r.hit("rewrite", "adds %s with the default %s(), which differs from row to row", column, name)
			}
		case pg.ConstrType_CONSTR_IDENTITY:
			given = true
			r.hit("rewrite", "adds %s as an identity", column)
		case pg.ConstrType_CONSTR_GENERATED:
			given = true
			r.hit("rewrite", "adds %s, which is computed and stored", column)
		}
	}
	for _, node := range def.GetConstraints() {
		c := node.GetConstraint()
		switch c.GetContype() {
		case pg.ConstrType_CONSTR_UNIQUE, pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_CHECK, pg.ConstrType_CONSTR_FOREIGN:
			r.addConstraint(table, c)
		}
	}
	if required && !given {
		r.hit("required-column", "adds %s, which must not be null and has no default", column)
	}
}

func (r *reading) addConstraint(table string, c *pg.Constraint) {
	name := c.GetConname()
	switch c.GetContype() {
	case pg.ConstrType_CONSTR_UNIQUE, pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_EXCLUSION:
		r.hit("add-unique", "allows each value in %s once", table)
		if c.Indexname == "" {
			r.hit("unique-builds-index", "adds a constraint on %s together with its index", table)
		}
	case pg.ConstrType_CONSTR_CHECK:
		r.hit("add-check", "checks what is written to %s", table)
		if !c.SkipValidation {
			r.hit("check-scans", "checks all that is in %s", table)
		}
	case pg.ConstrType_CONSTR_FOREIGN:
		parent := relation(c.Pktable)
		r.hit("add-foreign-key", "makes %s refer to %s", table, parent)
		if !c.SkipValidation {
			r.hit("foreign-key-scans", "looks for each row of %s in %s", table, parent)
		}
		if !r.made[parent] {
			r.locks(parent)
		}
	}
	if c.GetSkipValidation() && name != "" {
		r.unvalidated[table+"."+name] = true
	}
}

// stable are the functions that give a new column one value for all rows that are
// there: pg_proc.provolatile is not 'v'. With any other the table is written anew.
var stable = []string{
	"now", "transaction_timestamp", "statement_timestamp", "current_setting", "to_timestamp", "to_char", "to_date", "make_interval",
	"make_date", "md5", "lower", "upper", "concat", "coalesce", "jsonb_build_object", "json_build_object", "jsonb_build_array",
	"json_build_array", "array_fill", "timezone", "date_trunc", "age", "abs", "length", "left", "right", "repeat", "sha256",
}

// volatile returns the first function in an expression that is not known to give
// every row the same value, empty if there is none.
func volatile(node *pg.Node) (name string) {
	walk(node, func(n *pg.Node) {
		if f := n.GetFuncCall(); f != nil && name == "" && !slices.Contains(stable, lastName(f.Funcname)) {
			name = lastName(f.Funcname)
		}
	})
	return name
}
