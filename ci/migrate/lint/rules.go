package lint

// Class says what a statement endangers.
type Class string

const (
	// Compatibility: the version that serves, or the one that a rollback brings back.
	Compatibility Class = "compatibility"
	// Lock: everybody who uses the table waits.
	Lock Class = "lock"
	// Transaction: how goose runs the file.
	Transaction Class = "transaction"
	// Data: it can be lost, or held up by the mass of it.
	Data Class = "data"
)

// gate says when a rule refuses.
type gate int

const (
	// inExpand refuses a file of the expand phase; a contract file is there for it.
	inExpand gate = iota
	// always refuses.
	always
	// warn refuses nothing.
	warn
)

// Rule is something that a migration should not do, why, and what to do instead.
type Rule struct {
	Name    string
	Class   Class
	gate    gate
	Why     string
	Instead string
}

// Rules are all there are, by name. The statements behind them and what they do to
// PostgreSQL are in testdata, where each is run.
var Rules = byName([]Rule{
	// What the version that serves cannot live with.
	{"drop-column", Compatibility, inExpand, "the version that serves may still name it, and its data is gone after a rollback",
		"stop using it in one release, and drop it in a contract file of a later one"},
	{"drop-object", Compatibility, inExpand, "the version that serves may still use it",
		"stop using it in one release, and drop it in a contract file of a later one"},
	{"rename", Compatibility, inExpand, "the version that serves knows only the old name",
		"add the new one beside it, write both, move the readers, and drop the old one in a contract file"},
	{"set-schema", Compatibility, inExpand, "the version that serves looks for it where it was",
		"make a view in the new schema, move the readers, and move the table in a contract file"},
	{"required-column", Compatibility, inExpand, "the version that serves inserts rows without it",
		"give it a default, or let it be null and make it required in a contract file"},
	{"set-not-null", Compatibility, inExpand, "the version that serves may still write null, and every row is read under a lock that nobody passes",
		"in a contract file: ADD CHECK (… IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT in a file of its own, then SET NOT NULL"},
	{"drop-not-null", Compatibility, warn, "after a rollback the old version reads nulls that it does not expect",
		"make sure that the old version can read null before the new one writes it"},
	{"change-type", Compatibility, inExpand, "the version that serves may not read the new type, and the table may be written anew under a lock that nobody passes",
		"add a column of the new type, write both, copy, move the readers, and drop the old one in a contract file"},
	{"add-unique", Compatibility, inExpand, "the version that serves may insert what is there already",
		"stop the duplicates in one release, and add the constraint in a contract file, from an index made CONCURRENTLY"},
	{"add-check", Compatibility, inExpand, "the version that serves may write what it forbids: NOT VALID excuses only what is there",
		"obey it in one release, and add it in a contract file"},
	{"add-foreign-key", Compatibility, inExpand, "the version that serves may write rows that refer to nothing, or delete those that are referred to",
		"obey it in one release, and add it in a contract file"},
	{"change-default", Compatibility, warn, "the version that serves inserts rows that rely on the old default",
		"let the new version write the value itself, and change the default in a contract file"},
	{"drop-constraint", Compatibility, warn, "an ON CONFLICT of the version that serves may rest on it",
		"look for upserts on it; without them it is fine"},
	{"change-behaviour", Compatibility, warn, "the version that serves sees the new behaviour at once",
		"make a new one beside it under another name"},
	{"add-enum-value", Compatibility, warn, "after a rollback the old version reads a value that it does not know",
		"teach every reader the value in one release, and write it in the next"},

	// What everybody waits for.
	{"index-blocks-writes", Lock, always, "no row can be written until the index is made",
		"CREATE INDEX CONCURRENTLY, alone in a file with -- +goose NO TRANSACTION"},
	{"drop-index-blocks", Lock, always, "it takes a lock that nobody passes, and waits for it before everybody else",
		"DROP INDEX CONCURRENTLY, alone in a file with -- +goose NO TRANSACTION"},
	{"reindex-blocks", Lock, always, "no row can be written until it has ended",
		"REINDEX … CONCURRENTLY, alone in a file with -- +goose NO TRANSACTION"},
	{"rewrite", Lock, always, "every row is written anew under a lock that nobody passes",
		"add the column without it, fill it in small steps, and set the default afterwards"},
	{"check-scans", Lock, always, "every row is read under a lock that nobody passes",
		"ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a file of its own"},
	{"foreign-key-scans", Lock, always, "every row is compared while neither table can be written",
		"ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in a file of its own"},
	{"unique-builds-index", Lock, always, "its index is made under a lock that nobody passes",
		"CREATE UNIQUE INDEX CONCURRENTLY in a file before, and ADD CONSTRAINT … USING INDEX"},
	{"validate-in-same-transaction", Lock, always, "the strong lock of the NOT VALID before it is kept while every row is read",
		"VALIDATE CONSTRAINT in a file of its own"},
	{"detach-partition-blocks", Lock, always, "it takes a lock on the whole table that nobody passes",
		"DETACH PARTITION … CONCURRENTLY, alone in a file with -- +goose NO TRANSACTION"},
	{"attach-partition-scans", Lock, warn, "every row of the partition is read, unless a CHECK says the same as its bounds",
		"add such a CHECK to the partition first, and validate it"},
	{"blocks-table", Lock, always, "nobody can use the table until it has ended",
		"do it when nobody needs the table, by hand; or pg_repack, or REFRESH … CONCURRENTLY"},
	{"several-tables", Lock, warn, "the lock on the first table is kept while the next one is waited for, and two such files can block each other",
		"one file for each table"},

	// How goose runs the file.
	{"concurrently-in-transaction", Transaction, always, "PostgreSQL refuses it inside of a transaction",
		"-- +goose NO TRANSACTION, and no other statement in the file"},
	{"concurrently-if-not-exists", Transaction, always, "an invalid index of that name would be taken for the index",
		"leave IF NOT EXISTS out; what a broken run left is dropped before the next"},
	{"transaction-control", Transaction, always, "goose's own transaction would end here, and what follows would not be taken back",
		"leave it out: each file is a transaction"},
	{"session-setting", Transaction, always, "the next file, and goose's own table, would be met by it as well",
		"SET LOCAL"},
	{"not-analysed", Transaction, warn, "what it does cannot be read from here",
		"write the statements themselves, where that is possible"},

	// What can be lost.
	{"truncate", Data, always, "every row is gone, also for the version that serves",
		"delete what is not needed any more, in small steps, from the application"},
	{"all-rows", Data, always, "every row is written in one transaction: locks until its end, and twice the room",
		"a WHERE, and small steps; or from the application"},
	{"change-and-fill", Data, warn, "the strong lock of the change is kept while the rows are written",
		"one file for the change, and another one for the rows"},
})

func byName(list []Rule) map[string]Rule {
	rules := map[string]Rule{}
	for _, r := range list {
		rules[r.Name] = r
	}
	return rules
}
