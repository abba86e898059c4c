// lib/pq and pgx, each doing what its user does first.
package main

import (
	"context"
	"database/sql"
	"fmt"
	neturl "net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/lib/pq"
)

var checks int

func same(what string, found, expected interface{}) {
	checks++
	if !reflect.DeepEqual(found, expected) {
		fmt.Printf("%s: %#v instead of %#v\n", what, found, expected)
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func url() string {
	at := neturl.URL{
		Scheme:   "postgres",
		User:     neturl.UserPassword(os.Getenv("PGUSER"), os.Getenv("PGPASSWORD")),
		Host:     os.Getenv("PGHOST") + ":" + os.Getenv("PGPORT"),
		Path:     os.Getenv("PGDATABASE"),
		RawQuery: "sslmode=disable&timezone=UTC",
	}
	return at.String()
}

func libPq() {
	db, err := sql.Open("postgres", url())
	must(err)
	defer db.Close()
	must(db.Ping())

	var text, uuid, numeric string
	var boolean bool
	var bigint int64
	var double float64
	var bytes []byte
	var stamp time.Time
	var texts []sql.NullString
	row := db.QueryRow("SELECT a_text, a_uuid::text, a_numeric, a_boolean, a_bigint, a_double, a_bytea, a_timestamptz, texts "+
		"FROM every_type WHERE id = $1", 1)
	must(row.Scan(&text, &uuid, &numeric, &boolean, &bigint, &double, &bytes, &stamp, pq.Array(&texts)))
	same("text", text, "Zoë said \"hi\", \\ and 🙂\nbye")
	same("uuid", uuid, "8c5b1b5e-3c5a-4b7e-9a53-0d5f5ad1a001")
	same("numeric", numeric, "77600.55")
	same("boolean", boolean, true)
	same("bigint", bigint, int64(4000000000))
	same("double", double, 2.25)
	same("bytea", bytes, []byte{0, 255, 16})
	same("timestamptz", stamp.UTC(), time.Date(2024, 2, 29, 13, 14, 15, 678901000, time.UTC))
	same("texts", len(texts), 5)
	same("a null among them", texts[1].Valid, false)

	statement, err := db.Prepare("SELECT name FROM many WHERE id = ANY($1) AND changed < $2 ORDER BY id")
	must(err)
	for round := 0; round < 3; round++ {
		rows, err := statement.Query(pq.Array([]int64{3, 5, 70}), time.Date(2024, 1, 1, 0, 1, 0, 0, time.UTC))
		must(err)
		var names []string
		for rows.Next() {
			var name string
			must(rows.Scan(&name))
			names = append(names, name)
		}
		must(rows.Err())
		same("any", names, []string{"row 3", "row 5"})
	}

	rows, err := db.Query("SELECT id, name, amount FROM many ORDER BY id")
	must(err)
	count := 0
	for rows.Next() {
		var id int
		var name, amount string
		must(rows.Scan(&id, &name, &amount))
		count++
	}
	must(rows.Err())
	same("rows", count, 100000)
	types, err := db.Query("SELECT id, a_numeric, a_varchar FROM every_type WHERE false")
	must(err)
	columns, err := types.ColumnTypes()
	must(err)
	same("type", columns[1].DatabaseTypeName(), "NUMERIC")
	precision, scale, _ := columns[1].DecimalSize()
	same("precision", []int64{precision, scale}, []int64{18, 2})
	must(types.Close())

	transaction, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	must(err)
	var one int
	must(transaction.QueryRow("SELECT count(*) FROM many WHERE id <= $1", 10).Scan(&one))
	same("in a transaction", one, 10)
	must(transaction.Commit())

	_, err = db.Exec("SELECT nothing FROM many")
	fault, is := err.(*pq.Error)
	same("an error of the server", is, true)
	same("its state", string(fault.Code), "42703")
	same("its name", fault.Code.Name(), "undefined_column")
	slow, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = db.ExecContext(slow, "SELECT count(*) FROM many a, many b, many c WHERE a.id + b.id = c.id * 7")
	same("a statement whose context ends is cancelled", err != nil && strings.Contains(err.Error(), "cancel"), true)
}

func withPgx() {
	ctx := context.Background()
	connection, err := pgx.Connect(ctx, url())
	must(err)
	defer connection.Close(ctx)

	var numeric string
	var texts []string
	var integers []*int32
	var day time.Time
	row := connection.QueryRow(ctx, "SELECT a_numeric::text, array['a', 'b'], integers, a_date FROM every_type WHERE id = $1", 1)
	must(row.Scan(&numeric, &texts, &integers, &day))
	same("numeric", numeric, "77600.55")
	same("texts", texts, []string{"a", "b"})
	same("integers", []int{int(*integers[0]), int(*integers[2])}, []int{1, -3})
	same("date", day, time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC))

	rows, err := connection.Query(ctx, "SELECT id, name, changed FROM many WHERE id BETWEEN $1 AND $2 ORDER BY id", 10, 12)
	must(err)
	var ids []int
	for rows.Next() {
		var id int
		var name string
		var changed time.Time
		must(rows.Scan(&id, &name, &changed))
		ids = append(ids, id)
	}
	must(rows.Err())
	same("between", ids, []int{10, 11, 12})

	batch := &pgx.Batch{}
	for id := 1; id <= 5; id++ {
		batch.Queue("SELECT amount::float8 FROM many WHERE id = $1", id)
	}
	results := connection.SendBatch(ctx, batch)
	var sum float64
	for id := 1; id <= 5; id++ {
		var amount float64
		must(results.QueryRow().Scan(&amount))
		sum += amount
	}
	must(results.Close())
	same("a pipeline", fmt.Sprintf("%.2f", sum), "1187.85")

	simple, err := pgx.ParseConfig(url())
	must(err)
	simple.PreferSimpleProtocol = true
	plain, err := pgx.ConnectConfig(ctx, simple)
	must(err)
	defer plain.Close(ctx)
	var name string
	must(plain.QueryRow(ctx, "SELECT name FROM many WHERE id = $1", 7).Scan(&name))
	same("by the simple protocol", name, "row 7")
}

func main() {
	libPq()
	withPgx()
	fmt.Printf("passed %d checks\n", checks)
}
