/*
 * load.c: sends products to a server as an application does, and measures how long that takes.
 *
 *   load [OPTION…] STATEMENT [STATEMENT-FOR-NEW-PRODUCTS]
 *     -c CLIENTS     connections, each with a thread of its own (1)
 *     -s SECONDS     how long each client goes on; or
 *     -n CALLS       how many calls each client makes (1)
 *     -w WORK        create, update, unchanged, or mixed: create and update by turns (update)
 *     -k FIRST-LAST  the keys that are stored, of which one is picked at random (1-1)
 *     -r ROWS        products a call: an array of so many, not one object
 *     -m             watches the memory of the first client's backend
 *     -f             each call is the first of a new connection; what it takes to connect does not count
 *   load -g ROWS [-v VERSION]
 *     prints the products 1 to ROWS for COPY
 *
 * The statement is prepared. How products are sent depends on the statement's parameters: eight are the
 * fields of one, one is JSON, and none is a statement that reads its products from a table. The text is
 * made here and that is not part of the time, so each way is charged for the server's work alone.
 *
 * Where to connect to, and the session's settings, come from libpq's environment variables. Prints one
 * line: products sent, those of them that were new, products sent while the clock ran, seconds, by how
 * many kB the backend's own memory grew, and the seconds that the backends were on a processor. Calls
 * before the clock starts are not in the third.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define FIELDS 8
#define FIELD_SIZE 128
#define JSON_SIZE 512			/* more than a product takes */
#define WARM_UP_CALLS 7			/* a statement gets its lasting plan at its sixth call */
#define KEY_STRIDE INT64_C(7919)	/* prime: an array's keys are far apart, and all different */

typedef char Product[FIELDS][FIELD_SIZE];

static const struct
{
	const char *name;
	bool		quoted;			/* in JSON */
}			field[FIELDS] = {
	{"brand", true},
	{"serial", true},
	{"manufacturer", true},
	{"description", true},
	{"price", false},
	{"stock", false},
	{"category", true},
	{"released", true}
};

typedef enum
{
	CREATE,
	UPDATE,
	UNCHANGED,
	MIXED
} Work;

static const char *const work_name[] = {"create", "update", "unchanged", "mixed"};

typedef struct
{
	PGconn	   *conn;
	pthread_t	thread;
	int			number;
	uint64_t	random;
	int64_t		calls;
	int64_t		new_rows;
	int64_t		timed_calls;
	double		busy;			/* seconds spent in calls while the clock ran */
	double		processor;		/* seconds that the backend was on one */
	Product		product;
	char	   *json;
} Client;

static int	clients = 1;
static double seconds = 0;
static int64_t calls = 1;
static Work work = UPDATE;
static int64_t first_key = 1;
static int64_t last_key = 1;
static int	array_rows = 0;		/* 0: an object */
static bool watch_memory = false;
static bool first_calls = false;
static const char *statement[2];	/* for stored products, for new ones */
static int	parameters;

/*
 * The first number that no earlier run has used: new keys and versions are counted from here. Runs
 * follow each other, and none makes 16 products a microsecond.
 */
static int64_t unused;

static pthread_barrier_t start;
static atomic_int running;

static void
Die(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void *
Allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		Die("out of memory");
	return memory;
}

static double
Now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static int64_t
Microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/*
 * A product has the same values wherever it is made, and the same size in every version. No value needs
 * escaping, in JSON or in COPY.
 */
static void
MakeProduct(int64_t key, int64_t version, Product product)
{
	int64_t		cents = 10000 + (key * 31 + version) % 90000;

	snprintf(product[0], FIELD_SIZE, "Brand %02" PRId64, key % 97);
	snprintf(product[1], FIELD_SIZE, "SN-%017" PRId64, key);
	snprintf(product[2], FIELD_SIZE, "Maker %02" PRId64, key % 89);
	snprintf(product[3], FIELD_SIZE,
			 "Part in revision %017" PRId64 ", boxed, with cable and manual", version);
	snprintf(product[4], FIELD_SIZE, "%" PRId64 ".%02" PRId64, cents / 100, cents % 100);
	snprintf(product[5], FIELD_SIZE, "%" PRId64, (key + version) % 1000);
	snprintf(product[6], FIELD_SIZE, "Category %02" PRId64, key % 23);
	snprintf(product[7], FIELD_SIZE, "20%02" PRId64 "-%02" PRId64 "-%02" PRId64,
			 key % 25, 1 + key % 12, 1 + key % 28);
}

static void
PrintProducts(int64_t rows, int64_t version)
{
	Product		product;

	for (int64_t key = 1; key <= rows; key++)
	{
		MakeProduct(key, version, product);
		for (int i = 0; i < FIELDS; i++)
		{
			fputs(product[i], stdout);
			putchar(i < FIELDS - 1 ? '\t' : '\n');
		}
	}
}

/* Appends the product as a JSON object; returns the new end. */
static char *
AppendJson(char *end, Product product)
{
	for (int i = 0; i < FIELDS; i++)
		end += sprintf(end, field[i].quoted ? "%s\"%s\": \"%s\"" : "%s\"%s\": %s",
					   i == 0 ? "{" : ", ", field[i].name, product[i]);
	return stpcpy(end, "}");
}

static int
RowsPerCall(void)
{
	return array_rows > 0 ? array_rows : 1;
}

static bool
NextIsNew(const Client *client)
{
	return work == CREATE || (work == MIXED && client->calls % 2 == 0);
}

static int64_t
Random(Client *client, int64_t below)
{
	client->random = client->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (client->random >> 20) % below;
}

/* Makes what the client's next call sends, if it sends anything, and points values at it. */
static void
MakeParameters(Client *client, const char **values)
{
	int64_t		keys = last_key - first_key + 1;
	int64_t		fresh = unused + (client->calls * clients + client->number) * RowsPerCall();
	int64_t		version = work == UNCHANGED ? 0 : fresh;
	int64_t		picked = Random(client, keys);
	char	   *end = client->json;

	if (parameters == 0)
		return;

	for (int i = 0; i < RowsPerCall(); i++)
	{
		int64_t		key = NextIsNew(client) ? fresh + i :
			first_key + (picked + i * KEY_STRIDE) % keys;

		MakeProduct(key, version, client->product);
		if (parameters == 1)
		{
			end = stpcpy(end, array_rows == 0 ? "" : i == 0 ? "[" : ", ");
			end = AppendJson(end, client->product);
		}
	}

	if (parameters == 1)
	{
		strcpy(end, array_rows > 0 ? "]" : "");
		values[0] = client->json;
		return;
	}
	for (int i = 0; i < FIELDS; i++)
		values[i] = client->product[i];
}

static void
Execute(PGconn *conn, const char *query)
{
	PGresult   *result = PQexec(conn, query);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		Die("%s", PQerrorMessage(conn));
	PQclear(result);
}

static void
Connect(Client *client)
{
	client->conn = PQconnectdb("application_name=load");
	if (PQstatus(client->conn) != CONNECTION_OK)
		Die("%s", PQerrorMessage(client->conn));
}

/* The counts of what the client did are there for all to see when this returns. */
static void
Disconnect(Client *client)
{
	Execute(client->conn, "SELECT pg_stat_force_next_flush()");
	PQfinish(client->conn);
}

static void
Reconnect(Client *client)
{
	Disconnect(client);
	Connect(client);
}

static void
Call(Client *client)
{
	const char *values[FIELDS];
	bool		is_new = NextIsNew(client);
	double		begin;
	PGresult   *result;

	MakeParameters(client, values);
	if (first_calls)
		Reconnect(client);

	begin = Now();
	result = first_calls ?
		PQexecParams(client->conn, statement[is_new && statement[1]],
					 parameters, NULL, values, NULL, NULL, 0) :
		PQexecPrepared(client->conn, is_new && statement[1] ? "new" : "stored",
					   parameters, values, NULL, NULL, 0);
	client->busy += Now() - begin;

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		Die("%s", PQerrorMessage(client->conn));
	PQclear(result);

	client->calls++;
	client->timed_calls++;
	if (is_new)
		client->new_rows += RowsPerCall();
}

static void *
RunClient(void *arg)
{
	Client	   *client = arg;
	double		begin;

	if (seconds > 0)
		for (int i = 0; i < WARM_UP_CALLS; i++)
			Call(client);
	client->timed_calls = 0;
	client->busy = 0;

	pthread_barrier_wait(&start);
	begin = Now();
	do
		Call(client);
	while (seconds > 0 ? Now() - begin < seconds : client->timed_calls < calls);

	running--;
	return NULL;
}

/* Prepares the statements and finds out what they take. */
static void
Prepare(Client *client)
{
	static const char *const name[2] = {"stored", "new"};

	for (int i = 0; i < 2 && statement[i]; i++)
	{
		PGresult   *result = PQprepare(client->conn, name[i], statement[i], 0, NULL);

		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			Die("%s", PQerrorMessage(client->conn));
		PQclear(result);

		result = PQdescribePrepared(client->conn, name[i]);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			Die("%s", PQerrorMessage(client->conn));
		parameters = PQnparams(result);
		PQclear(result);

		if (parameters > 1 && (parameters != FIELDS || array_rows > 0))
			Die("does not fit what is to be sent: %s", statement[i]);
	}
	if (parameters == 1)
		client->json = Allocate((size_t) RowsPerCall() * JSON_SIZE);
}

/* What a process has for itself, in kB: not the shared buffers that it has touched. */
static long
PrivateMemory(int pid)
{
	char		path[64];
	char		line[256];
	long		memory = -1;
	FILE	   *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "r");
	if (status == NULL)
		Die("cannot read %s", path);
	while (memory < 0 && fgets(line, sizeof(line), status))
		sscanf(line, "RssAnon: %ld", &memory);
	fclose(status);
	if (memory < 0)
		Die("no RssAnon in %s", path);
	return memory;
}

/* Looks until all clients are done: the kernel keeps the peak of all memory, but not of private memory. */
static long
PeakMemory(int pid)
{
	const struct timespec pause = {0, 1000000};
	long		peak = 0;

	while (running > 0)
	{
		long		memory = PrivateMemory(pid);

		if (memory > peak)
			peak = memory;
		nanosleep(&pause, NULL);
	}
	return peak;
}

/* The seconds that a process has been on a processor: not those for which others kept it waiting. */
static double
ProcessorTime(int pid)
{
	char		path[64];
	int64_t		nanoseconds;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%" SCNd64, &nanoseconds) != 1)
		Die("cannot read %s", path);
	fclose(file);
	return nanoseconds / 1e9;
}

static void
Run(void)
{
	Client	   *client = Allocate(clients * sizeof(Client));
	int64_t		sent = 0;
	int64_t		new_rows = 0;
	int64_t		timed = 0;
	double		busy = 0;
	double		processor = 0;
	long		baseline = 0;
	long		peak = 0;

	unused = Microseconds() * 16;
	running = clients;
	pthread_barrier_init(&start, NULL, clients);

	for (int i = 0; i < clients; i++)
	{
		client[i].number = i;
		client[i].random = unused + i;
		Connect(&client[i]);
		if (i == 0 && watch_memory)
			baseline = PrivateMemory(PQbackendPID(client[0].conn));
		client[i].processor = -ProcessorTime(PQbackendPID(client[i].conn));
		Prepare(&client[i]);
	}
	for (int i = 0; i < clients; i++)
		if (pthread_create(&client[i].thread, NULL, RunClient, &client[i]) != 0)
			Die("cannot start a thread");

	if (watch_memory)
		peak = PeakMemory(PQbackendPID(client[0].conn));
	for (int i = 0; i < clients; i++)
	{
		pthread_join(client[i].thread, NULL);
		sent += client[i].calls * RowsPerCall();
		new_rows += client[i].new_rows;
		timed += client[i].timed_calls * RowsPerCall();
		busy += client[i].busy;
		processor += client[i].processor + ProcessorTime(PQbackendPID(client[i].conn));
		Disconnect(&client[i]);
		free(client[i].json);
	}

	printf("%" PRId64 " %" PRId64 " %" PRId64 " %.6f %ld %.6f\n",
		   sent, new_rows, timed, busy / clients, peak - baseline, processor);
	free(client);
}

static Work
ParseWork(const char *name)
{
	for (Work w = CREATE; w <= MIXED; w++)
		if (strcmp(name, work_name[w]) == 0)
			return w;
	Die("no such work: %s", name);
	return MIXED;
}

int
main(int argc, char **argv)
{
	int64_t		print_rows = -1;
	int64_t		version = 0;
	int			option;

	while ((option = getopt(argc, argv, "c:s:n:w:k:r:mfg:v:")) != -1)
	{
		switch (option)
		{
			case 'c':
				clients = atoi(optarg);
				break;
			case 's':
				seconds = atof(optarg);
				break;
			case 'n':
				calls = atoll(optarg);
				break;
			case 'w':
				work = ParseWork(optarg);
				break;
			case 'k':
				if (sscanf(optarg, "%" SCNd64 "-%" SCNd64, &first_key, &last_key) != 2)
					Die("not a range of keys: %s", optarg);
				break;
			case 'r':
				array_rows = atoi(optarg);
				break;
			case 'm':
				watch_memory = true;
				break;
			case 'f':
				first_calls = true;
				break;
			case 'g':
				print_rows = atoll(optarg);
				break;
			case 'v':
				version = atoll(optarg);
				break;
			default:
				return 2;
		}
	}

	if (print_rows >= 0)
	{
		PrintProducts(print_rows, version);
		return fflush(stdout) == 0 ? 0 : 1;
	}

	if (optind >= argc || argc > optind + 2 || clients < 1 || array_rows < 0)
		Die("see the top of load.c for how to use it");
	if (first_key > last_key || (work != CREATE && last_key - first_key + 1 < RowsPerCall()))
		Die("not so many different keys");
	statement[0] = argv[optind];
	statement[1] = optind + 1 < argc ? argv[optind + 1] : NULL;
	Run();
	return 0;
}
