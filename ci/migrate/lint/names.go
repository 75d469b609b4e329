package lint

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// dotted joins the parts of a name.
func dotted(parts []*pg.Node) string {
	var names []string
	for _, p := range parts {
		names = append(names, p.GetString_().GetSval())
	}
	return strings.Join(names, ".")
}

func lastName(parts []*pg.Node) string {
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1].GetString_().GetSval()
}

// nameOf is the name of whatever object a statement speaks of.
func nameOf(n *pg.Node) string {
	switch o := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return relation(o.RangeVar)
	case *pg.Node_List:
		return dotted(o.List.Items)
	case *pg.Node_TypeName:
		return dotted(o.TypeName.Names)
	case *pg.Node_ObjectWithArgs:
		return dotted(o.ObjectWithArgs.Objname)
	case *pg.Node_String_:
		return o.String_.Sval
	default:
		return ""
	}
}

func list(nodes []*pg.Node) string {
	var names []string
	for _, n := range nodes {
		names = append(names, nameOf(n))
	}
	return strings.Join(names, ", ")
}

// walk calls fn for every node of an expression.
func walk(n *pg.Node, fn func(*pg.Node)) {
	if n == nil {
		return
	}
	fn(n)
	walkMessage(n.ProtoReflect(), fn)
}

func walkMessage(m protoreflect.Message, fn func(*pg.Node)) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if field.Message() == nil {
			return true
		}
		visit := func(v protoreflect.Value) {
			if n, ok := v.Message().Interface().(*pg.Node); ok {
				fn(n)
			}
			walkMessage(v.Message(), fn)
		}
		if field.IsList() {
			for i := range v.List().Len() {
				visit(v.List().Get(i))
			}
		} else {
			visit(v)
		}
		return true
	})
}
