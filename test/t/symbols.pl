# Libraries of the server share their symbols: what a library defines, and does not hide, takes the place of
# what those that are loaded later define under that name, in their own calls too. Then another's LockKeys()
# would be called for ours, and lock nothing.
#
# So the library must show nothing but what PostgreSQL looks up in it by name, and must go by its own
# functions and variables where another has some of the same names.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ProductUpsertTest;
use Test::More;

# What each must not do in the place of ours. They are called with other arguments, and mind none.
my %hostile = (
	CheckMayUpsert => 'int CheckMayUpsert(void) { return 1; }',
	Guard => 'int Guard(void) { return 1; }',
	HoldsWholeTable => 'int HoldsWholeTable(void) { return 1; }',
	LockGuardedKey => 'int LockGuardedKey(void) { return 0; }',
	LockKeys => 'int LockKeys(void) { return 0; }',
	OpenTable => 'int OpenTable(void) { __builtin_trap(); }',
	direct_store => 'char direct_store = 0;',
	max_waiters => 'int max_waiters = 1;',
);

sub output_of
{
	my @command = @_;
	my ($output, $errors) = run_command(\@command);

	die "@command: $errors" if $errors ne '';
	return $output;
}

sub pg_config
{
	return output_of('pg_config', "--$_[0]");
}

# The names that nm lists.
sub names
{
	my (@options) = @_;
	my $library = pg_config('pkglibdir') . '/product_upsert.so';

	return sort map { (split ' ')[-1] } split /\n/, output_of('nm', '--defined-only', @options, $library);
}

# Compiles C for the server. Returns the library's path.
sub build_library
{
	my ($name, $code) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();

	append_to_file("$dir/$name.c", $code);
	system_or_bail('cc', '-shared', '-fPIC', '-o', "$dir/$name.so", '-I' . pg_config('includedir-server'),
		"$dir/$name.c");
	return "$dir/$name.so";
}

my $library = build_library(
	'hostile', join "\n",
	'#include "postgres.h"',
	'#include "fmgr.h"',
	'PG_MODULE_MAGIC;', map { $hostile{$_} } sort keys %hostile
);
my $node = start_node('symbols', shared_preload_libraries => $library);

create_product($node);

# -- what it shows ----------------------------------------------------------------------------------

my @functions = split /\n/, $node->safe_psql(
	'postgres', q{
	SELECT DISTINCT prosrc FROM pg_proc JOIN pg_language l ON l.oid = prolang
	 WHERE lanname = 'c' AND probin = '$libdir/product_upsert'}
);
my @allowed = sort qw(Pg_magic_func _PG_init), map { ($_, "pg_finfo_$_") } @functions;

is(join("\n", names('--dynamic')), join("\n", @allowed), 'what PostgreSQL looks up is shown, and nothing else');

# It would be inlined from there, and what it calls looked up by name in all libraries.
ok(!-e pg_config('pkglibdir') . '/bitcode/product_upsert.index.bc', 'JIT compilation has no bitcode of it');

# -- whose functions it calls -------------------------------------------------------------------------

my %ours = map { $_ => 1 } names();
is(join(' ', grep { !$ours{$_} } sort keys %hostile), '', 'the library that is loaded first has names of ours');

my $call = q{SELECT product_upsert('{"brand": "b", "serial": "1", "manufacturer": "m", "price": %s}') ->> 'action'};
my $insert = q{INSERT INTO product (brand, serial, manufacturer) VALUES ('b', '%s', 'm')};
my ($one, $other) = (session($node), session($node));

value($one, 'BEGIN');
is(value($one, sprintf $call, 1), 'created', 'a call creates the row');
is(key_locks($one), 1, 'it has locked the key');
start_call($other, sprintf $call, 2);
wait_until_waiting($node, 1);
value($one, 'COMMIT');
is(finish_call($other), 'updated', 'a second call waits for it, and finds the row');

$node->safe_psql('postgres', q{SELECT product_upsert_protect('product')});
value($one, 'BEGIN');
value($one, sprintf $insert, 2);
is(key_locks($one), 1, 'the guard locks the key');
start_call($other, sprintf $insert, 2);
wait_until_waiting($node, 1);
value($one, 'COMMIT');
finish_call($other, '23505', 'the guard refuses a second row');

is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT serial) FROM product'), '2|2', 'no key has two rows');

is(value($one, 'SHOW product_upsert.max_waiters'), '0', 'the settings are ours');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN; GRANT SELECT, INSERT ON product TO reader');
fails(session($node, role => 'reader'), sprintf($call, 3), '42501', 'privileges are checked');

# -- a hook that is taken away ------------------------------------------------------------------------

# A library that does not call who had the hook before: what statements name would not be checked, and the key's condition
# not be in them. No row of another key may be taken for the one that was meant.
my $thief = build_library(
	'thief',
	join "\n",
	'#include "postgres.h"',
	'#include "fmgr.h"',
	'#include "parser/analyze.h"',
	'PG_MODULE_MAGIC;',
	'static void take(ParseState *p, Query *q, JumbleState *j) { (void) p; (void) q; (void) j; }',
	'void _PG_init(void);',
	'void _PG_init(void) { post_parse_analyze_hook = take; }'
);
$node->safe_psql(
	'postgres', q{
	CREATE TABLE parted (brand text, serial text, manufacturer text, price int) PARTITION BY LIST (brand);
	CREATE TABLE parted_b PARTITION OF parted FOR VALUES IN ('b');
	CREATE INDEX ON parted (brand, serial, manufacturer);
	INSERT INTO parted VALUES ('b', '1', 'm', 1)}
);
my $parted =
  q{SELECT product_upsert('parted', '{"brand": "b", "serial": "%s", "manufacturer": "m", "price": %s}') ->> 'action'};
my $robbed = session($node);
value($robbed, 'SET product_upsert.direct_store = off');
value($robbed, sprintf $parted, 1, 1);
value($robbed, sprintf $parted, 1, 2);
value($robbed, "LOAD '$thief'");
is(value($robbed, sprintf $parted, 1, 2), 'unchanged', 'what was prepared before is as good as it was');

# Whatever schema changes, all statements are prepared anew.
$node->safe_psql('postgres', 'CREATE SCHEMA a_schema; ALTER SCHEMA a_schema RENAME TO another');
fails($robbed, (sprintf $parted, 1, 2), '55000', 'nothing is prepared that cannot be checked');
fails($robbed, (sprintf $parted, 4, 1), '55000', 'whichever key it is about');
is($node->safe_psql('postgres', 'SELECT * FROM parted'), 'b|1|m|2', 'the row is as it was');

done_testing();
