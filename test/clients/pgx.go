// Go, pgx.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"sort"
	"strings"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
)

// A field that is nil or empty is left out, so it keeps its value; not so those of the key.
type Product struct {
	Brand        string      `json:"brand"`
	Serial       string      `json:"serial"`
	Manufacturer *string     `json:"manufacturer"`
	Price        json.Number `json:"price,omitempty"` // keeps all digits
	Stock        *int64      `json:"stock,omitempty"`
}

type Result struct {
	Action   string
	Product  Product
	Previous map[string]interface{}
}

func upsert(ctx context.Context, conn *pgx.Conn, product Product) (result Result, err error) {
	err = conn.QueryRow(ctx, "SELECT product_upsert($1)", product).Scan(&result)
	return result, err
}

func upsertIf(ctx context.Context, conn *pgx.Conn, product, ifMatch interface{}) (result Result, err error) {
	err = conn.QueryRow(ctx, "SELECT product_upsert('product', $1, $2)", product, ifMatch).Scan(&result)
	return result, err
}

// -- the conversation --------------------------------------------------------------------------------

type object = map[string]interface{}

var (
	ctx   = context.Background()
	tests = 0
)

func check(name, expected string, values ...interface{}) {
	tests++
	got := strings.TrimSpace(fmt.Sprintln(values...))
	if got == expected {
		fmt.Printf("ok %d - %s\n", tests, name)
	} else {
		fmt.Printf("not ok %d - %s\n#      got: %s\n# expected: %s\n", tests, name, got, expected)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(options string) *pgx.Conn {
	conn, err := pgx.Connect(ctx, options)
	must(err)
	return conn
}

func exec(conn *pgx.Conn, query string, args ...interface{}) {
	_, err := conn.Exec(ctx, query, args...)
	must(err)
}

func scan(dest interface{}, conn *pgx.Conn, query string, args ...interface{}) {
	must(conn.QueryRow(ctx, query, args...).Scan(dest))
}

func text(conn *pgx.Conn, query string) (value string) {
	scan(&value, conn, query)
	return value
}

func sqlstate(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return fmt.Sprint(err)
}

func product(serial string) Product {
	manufacturer := "Acme Corp"
	return Product{Brand: "Acme", Serial: serial, Manufacturer: &manufacturer}
}

func (p Product) with(stock int64) Product {
	p.Stock = &stock
	return p
}

func mustUpsert(conn *pgx.Conn, product Product) Result {
	result, err := upsert(ctx, conn, product)
	must(err)
	return result
}

// Only what knows no other format is sent as binary.
type binaryJSONB pgtype.JSONB

func (b binaryJSONB) EncodeBinary(ci *pgtype.ConnInfo, buf []byte) ([]byte, error) {
	return pgtype.JSONB(b).EncodeBinary(ci, buf)
}

func main() {
	conn, other, holder := connect(""), connect(""), connect("")

	result := mustUpsert(conn, product("A-1").with(12))
	check("a new key is created", "created 12", result.Action, *result.Product.Stock)
	result = mustUpsert(conn, product("A-1").with(11))
	check("a known key is updated, with the previous value", "updated map[stock:12]", result.Action, result.Previous)
	result = mustUpsert(conn, product("A-1").with(11))
	check("the same again is unchanged", "unchanged", result.Action)

	var results []Result
	scan(&results, conn, "SELECT product_upsert($1)", []Product{product("A-2"), product("A-1").with(10)})
	check("an array has its results in order", "created A-2 updated A-1",
		results[0].Action, results[0].Product.Serial, results[1].Action, results[1].Product.Serial)

	mustUpsert(conn, Product{Brand: "Acme", Serial: "A-3"})
	result = mustUpsert(conn, Product{Brand: "Acme", Serial: "A-3"})
	check("null in the key equals null", "unchanged <nil>", result.Action, result.Product.Manufacturer)

	result = mustUpsert(conn, product("Größe 日本 😀"))
	check("characters of two to four bytes are stored as sent", "1",
		text(conn, "SELECT count(*)::text FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"))
	check("characters of two to four bytes come back as sent", "Größe 日本 😀", result.Product.Serial)

	large := product("A-4").with(9007199254740993)
	large.Price = "12345678901234567890.0123456789"
	result = mustUpsert(conn, large)
	check("large numbers are stored exactly", "12345678901234567890.0123456789 9007199254740993",
		text(conn, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"))
	check("large numbers come back exactly", "12345678901234567890.0123456789 9007199254740993",
		result.Product.Price, *result.Product.Stock)

	unknown := object{"brand": "Acme", "serial": "A-1", "manufacturer": "Acme Corp", "colour": "red"}
	err := conn.QueryRow(ctx, "SELECT product_upsert($1)", unknown).Scan(&result)
	check("an unknown field is 42703", "42703", sqlstate(err))
	result, err = upsertIf(ctx, conn, product("A-1").with(9), object{"stock": 10})
	must(err)
	check("if_match that matches is an update", "updated", result.Action)
	_, err = upsertIf(ctx, conn, product("A-1").with(8), object{"stock": 10})
	check("if_match that does not match is PT412, and writes nothing", "PT412 9",
		sqlstate(err), text(conn, "SELECT stock::text FROM product WHERE serial = 'A-1'"))

	exec(holder, "BEGIN")
	mustUpsert(holder, product("A-1"))
	exec(other, "SET lock_timeout = '100ms'")
	_, err = upsert(ctx, other, product("A-1"))
	check("a lock not to be had in time is 55P03", "55P03", sqlstate(err))
	exec(other, "RESET lock_timeout")
	exec(holder, "COMMIT")

	// pgx prepares every statement, unless the connection is told not to.
	fresh := connect("")
	for stock := int64(1); stock <= 10; stock++ {
		result = mustUpsert(fresh, product("A-5").with(stock))
	}
	check("a prepared statement, ten times", "10 1", *result.Product.Stock, text(fresh, "SELECT prepared()::text"))
	must(fresh.Close(ctx))
	fresh = connect("statement_cache_capacity=0")
	for stock := int64(11); stock <= 20; stock++ {
		result = mustUpsert(fresh, product("A-5").with(stock))
	}
	check("no prepared statement, ten times", "20 0", *result.Product.Stock, text(fresh, "SELECT prepared()::text"))
	must(fresh.Close(ctx))

	var binary pgtype.JSONB
	large.Serial = "A-6"
	must(binary.Set(large))
	rows, err := conn.Query(ctx, "SELECT product_upsert($1)", pgx.QueryResultFormats{pgx.BinaryFormatCode}, binaryJSONB(binary))
	must(err)
	rows.Next()
	format := rows.FieldDescriptions()[0].Format
	must(rows.Scan(&result))
	rows.Close()
	check("binary parameter", "12345678901234567890.0123456789",
		text(conn, "SELECT price::text FROM product WHERE serial = 'A-6'"))
	check("binary result", "1 12345678901234567890.0123456789", format, result.Product.Price)

	// The third connection holds the key until both wait for it.
	var waited, counts, actions []string
	for n := 1; n <= 5; n++ {
		racer := product(fmt.Sprint("R-", n))
		done := make(chan string)
		exec(holder, "BEGIN")
		exec(holder, "SELECT product_upsert_lock('product', $1)", racer)
		for stock, c := range []*pgx.Conn{conn, other} {
			go func(c *pgx.Conn, racer Product) { done <- mustUpsert(c, racer).Action }(c, racer.with(int64(stock)))
		}
		waited = append(waited, text(holder, "SELECT both_wait()::text"))
		exec(holder, "COMMIT")
		pair := []string{<-done, <-done}
		sort.Strings(pair)
		actions = append(actions, pair...)
		counts = append(counts, text(conn, "SELECT count(*)::text FROM product WHERE serial = '"+racer.Serial+"'"))
	}
	check("race: both wait for the key", "[true true true true true]", waited)
	check("race: one creates, the other updates",
		"[created updated created updated created updated created updated created updated]", actions)
	check("race: each key has one row", "[1 1 1 1 1]", counts)

	fmt.Printf("1..%d\n", tests)
}
