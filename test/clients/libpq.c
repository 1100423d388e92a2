/* C, libpq. */
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PostgreSQL makes columns of the result: action, previous, and those of the table. All numbers keep their digits. */
#define UPSERT \
	"SELECT r ->> 'action' AS action, r -> 'previous' AS previous, p.*" \
	"  FROM product_upsert($1) AS r, jsonb_populate_record(NULL::product, r -> 'product') AS p"

/* The product is JSON. The result has one row, unless its status is an error; PQclear() frees it. */
PGresult *
upsert(PGconn *conn, const char *product)
{
	return PQexecParams(conn, UPSERT, 1, NULL, &product, NULL, NULL, 0);
}

PGresult *
upsert_if(PGconn *conn, const char *product, const char *if_match)
{
	const char *values[] = {product, if_match};

	return PQexecParams(conn, "SELECT product_upsert('product', $1, $2) ->> 'action' AS action",
						2, NULL, values, NULL, NULL, 0);
}

/* -- the conversation ------------------------------------------------------------------------------ */

#define PRODUCT(serial, fields) \
	"{\"brand\": \"Acme\", \"serial\": \"" serial "\", \"manufacturer\": \"Acme Corp\"" fields "}"
#define RACES 5

static int	tests = 0;

static void
check(const char *name, const char *expected, const char *format,...)
{
	char		got[1000];
	va_list		args;

	va_start(args, format);
	vsnprintf(got, sizeof(got), format, args);
	va_end(args);
	printf("%s %d - %s\n", strcmp(got, expected) == 0 ? "ok" : "not ok", ++tests, name);
	if (strcmp(got, expected) != 0)
		printf("#      got: %s\n# expected: %s\n", got, expected);
}

/* A column of the first row, or of another; or the SQLSTATE, if there is no result. */
static const char *
value_at(PGresult *result, int row, const char *column)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return PQresultErrorField(result, PG_DIAG_SQLSTATE);
	return PQgetvalue(result, row, PQfnumber(result, column));
}

static const char *
value(PGresult *result, const char *column)
{
	return value_at(result, 0, column);
}

static PGconn *
connect_or_exit(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
	{
		fputs(PQerrorMessage(conn), stderr);
		exit(1);
	}
	return conn;
}

/* The value that a query returns, to be used before the next call. */
static const char *
ask(PGconn *conn, const char *query)
{
	static PGresult *result = NULL;

	PQclear(result);
	result = PQexec(conn, query);
	return PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : PQerrorMessage(conn);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char **) a, *(const char **) b);
}

int
main(void)
{
	PGconn	   *conn = connect_or_exit();
	PGconn	   *other = connect_or_exit();
	PGconn	   *holder = connect_or_exit();
	PGconn	   *fresh;
	PGresult   *result;
	char		product[200];
	const char *values[] = {product};
	const int	binary[] = {1};
	int			length;
	char		waited[100] = "";
	char		actions[200] = "";
	char		rows[100] = "";

	result = upsert(conn, PRODUCT("A-1", ", \"stock\": 12"));
	check("a new key is created", "created 12", "%s %s", value(result, "action"), value(result, "stock"));
	PQclear(result);
	result = upsert(conn, PRODUCT("A-1", ", \"stock\": 11"));
	check("a known key is updated, with the previous value", "updated {\"stock\": 12}",
		  "%s %s", value(result, "action"), value(result, "previous"));
	PQclear(result);
	result = upsert(conn, PRODUCT("A-1", ", \"stock\": 11"));
	check("the same again is unchanged", "unchanged", "%s", value(result, "action"));
	PQclear(result);

	/* An array has a result for each of its elements. */
	values[0] = "[" PRODUCT("A-2", "") ", " PRODUCT("A-1", ", \"stock\": 10") "]";
	result = PQexecParams(conn, "SELECT r ->> 'action' AS action, r #>> '{product,serial}' AS serial"
						  "  FROM jsonb_array_elements(product_upsert($1)) AS r", 1, NULL, values, NULL, NULL, 0);
	check("an array has its results in order", "created A-2 updated A-1", "%s %s %s %s",
		  value_at(result, 0, "action"), value_at(result, 0, "serial"),
		  value_at(result, 1, "action"), value_at(result, 1, "serial"));
	PQclear(result);
	values[0] = product;

	PQclear(upsert(conn, "{\"brand\": \"Acme\", \"serial\": \"A-3\", \"manufacturer\": null}"));
	result = upsert(conn, "{\"brand\": \"Acme\", \"serial\": \"A-3\", \"manufacturer\": null}");
	check("null in the key equals null", "unchanged null", "%s %s", value(result, "action"),
		  PQgetisnull(result, 0, PQfnumber(result, "manufacturer")) ? "null" : "not null");
	PQclear(result);

	result = upsert(conn, PRODUCT("Größe 日本 😀", ""));
	check("characters of two to four bytes are stored as sent", "1", "%s",
		  ask(conn, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"));
	check("characters of two to four bytes come back as sent", "Größe 日本 😀", "%s", value(result, "serial"));
	PQclear(result);

	result = upsert(conn, PRODUCT("A-4", ", \"price\": 12345678901234567890.0123456789, \"stock\": 9007199254740993"));
	check("large numbers are stored exactly", "12345678901234567890.0123456789 9007199254740993", "%s",
		  ask(conn, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"));
	check("large numbers come back exactly", "12345678901234567890.0123456789 9007199254740993",
		  "%s %s", value(result, "price"), value(result, "stock"));
	PQclear(result);

	result = upsert(conn, PRODUCT("A-1", ", \"colour\": \"red\""));
	check("an unknown field is 42703", "42703", "%s", value(result, "action"));
	PQclear(result);
	result = upsert_if(conn, PRODUCT("A-1", ", \"stock\": 9"), "{\"stock\": 10}");
	check("if_match that matches is an update", "updated", "%s", value(result, "action"));
	PQclear(result);
	result = upsert_if(conn, PRODUCT("A-1", ", \"stock\": 8"), "{\"stock\": 10}");
	check("if_match that does not match is PT412, and writes nothing", "PT412 9",
		  "%s %s", value(result, "action"), ask(conn, "SELECT stock FROM product WHERE serial = 'A-1'"));
	PQclear(result);

	PQclear(PQexec(holder, "BEGIN"));
	PQclear(upsert(holder, PRODUCT("A-1", "")));
	PQclear(PQexec(other, "SET lock_timeout = '100ms'"));
	result = upsert(other, PRODUCT("A-1", ""));
	check("a lock not to be had in time is 55P03", "55P03", "%s", value(result, "action"));
	PQclear(result);
	PQclear(PQexec(other, "RESET lock_timeout"));
	PQclear(PQexec(holder, "COMMIT"));

	fresh = connect_or_exit();
	PQclear(PQprepare(fresh, "upsert", UPSERT, 1, NULL));
	result = NULL;
	for (int n = 1; n <= 10; n++)
	{
		PQclear(result);
		snprintf(product, sizeof(product), PRODUCT("A-5", ", \"stock\": %d"), n);
		result = PQexecPrepared(fresh, "upsert", 1, values, NULL, NULL, 0);
	}
	check("a prepared statement, ten times", "10 1", "%s %s", value(result, "stock"), ask(fresh, "SELECT prepared()"));
	PQclear(result);
	PQfinish(fresh);
	fresh = connect_or_exit();
	result = NULL;
	for (int n = 11; n <= 20; n++)
	{
		PQclear(result);
		snprintf(product, sizeof(product), PRODUCT("A-5", ", \"stock\": %d"), n);
		result = upsert(fresh, product);
	}
	check("no prepared statement, ten times", "20 0", "%s %s", value(result, "stock"), ask(fresh, "SELECT prepared()"));
	PQclear(result);
	PQfinish(fresh);

	/* Binary jsonb is its version, 1, and the text. */
	length = snprintf(product, sizeof(product), "\x01" PRODUCT("A-6", ", \"price\": %s"), "12345678901234567890.0123456789");
	result = PQexecParams(conn, "SELECT product_upsert($1) -> 'product' -> 'price' AS price", 1, NULL, values, &length, binary, 1);
	check("binary parameter", "12345678901234567890.0123456789", "%s",
		  ask(conn, "SELECT price FROM product WHERE serial = 'A-6'"));
	check("binary result", "1 12345678901234567890.0123456789", "%d %s", *value(result, "price"), value(result, "price") + 1);
	PQclear(result);

	/* The third connection holds the key until both wait for it. */
	for (int n = 1; n <= RACES; n++)
	{
		PGconn	   *racers[] = {conn, other};
		PGresult   *results[2];
		const char *done[2];
		char		query[200];

		PQclear(PQexec(holder, "BEGIN"));
		snprintf(product, sizeof(product), PRODUCT("R-%d", ""), n);
		PQclear(PQexecParams(holder, "SELECT product_upsert_lock('product', $1)", 1, NULL, values, NULL, NULL, 0));
		for (int i = 0; i < 2; i++)
		{
			snprintf(product, sizeof(product), PRODUCT("R-%d", ", \"stock\": %d"), n, i);
			PQsendQueryParams(racers[i], UPSERT, 1, NULL, values, NULL, NULL, 0);
		}
		strcat(waited, ask(holder, "SELECT both_wait()"));
		PQclear(PQexec(holder, "COMMIT"));
		for (int i = 0; i < 2; i++)
		{
			results[i] = PQgetResult(racers[i]);
			done[i] = value(results[i], "action");
			PQclear(PQgetResult(racers[i]));	/* There is no second one. */
		}
		qsort(done, 2, sizeof(done[0]), compare);
		strcat(strcat(strcat(actions, done[0]), done[1]), " ");
		PQclear(results[0]);
		PQclear(results[1]);
		snprintf(query, sizeof(query), "SELECT count(*) FROM product WHERE serial = 'R-%d'", n);
		strcat(rows, ask(conn, query));
	}
	check("race: both wait for the key", "ttttt", "%s", waited);
	check("race: one creates, the other updates",
		  "createdupdated createdupdated createdupdated createdupdated createdupdated ", "%s", actions);
	check("race: each key has one row", "11111", "%s", rows);

	PQfinish(conn);
	PQfinish(other);
	PQfinish(holder);
	printf("1..%d\n", tests);
	return 0;
}
