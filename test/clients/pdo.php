<?php
// PHP, PDO.

// A float would lose digits: large numbers are sent as text, which a numeric column takes.
function upsert(PDO $db, array $product): array
{
    $statement = $db->prepare('SELECT product_upsert(?)');
    $statement->execute([json_encode($product, JSON_THROW_ON_ERROR)]);
    return json_decode($statement->fetchColumn(), true, flags: JSON_THROW_ON_ERROR);
}

function upsert_if(PDO $db, array $product, array $if_match): array
{
    $statement = $db->prepare("SELECT product_upsert('product', ?, ?)");
    $statement->execute([json_encode($product, JSON_THROW_ON_ERROR), json_encode($if_match, JSON_THROW_ON_ERROR)]);
    return json_decode($statement->fetchColumn(), true, flags: JSON_THROW_ON_ERROR);
}

// A float would lose digits on the way back, too: PostgreSQL takes the result apart, each value is text then.
function upsert_price(PDO $db, array $product): array
{
    $statement = $db->prepare("SELECT r ->> 'action' AS action, r #>> '{product,price}' AS price,
                                      r #>> '{product,stock}' AS stock FROM product_upsert(?) AS r");
    $statement->execute([json_encode($product, JSON_THROW_ON_ERROR)]);
    return $statement->fetch(PDO::FETCH_ASSOC);
}

// -- the conversation --------------------------------------------------------------------------------

// Another process that takes part in the race: it sends one product, and prints what was done.
if ($argc > 1) {
    echo upsert(connect(), json_decode($argv[1], true))['action'];
    exit;
}

$tests = 0;

function check(mixed $got, mixed $expected, string $name): void
{
    global $tests;
    printf("%s %d - %s\n", $got === $expected ? 'ok' : 'not ok', ++$tests, $name);
    if ($got !== $expected) {
        printf("#      got: %s\n# expected: %s\n", json_encode($got), json_encode($expected));
    }
}

function skip(string $name, string $reason): void
{
    global $tests;
    printf("ok %d - %s # SKIP %s\n", ++$tests, $name, $reason);
}

function product(string $serial, array $fields = []): array
{
    return ['brand' => 'Acme', 'serial' => $serial, 'manufacturer' => 'Acme Corp', ...$fields];
}

function connect(): PDO
{
    return new PDO('pgsql:');
}

function value(PDO $db, string $query): mixed
{
    return $db->query($query)->fetchColumn();
}

function sqlstate(callable $call): ?string
{
    try {
        $call();
        return null;
    } catch (PDOException $e) {
        return $e->getCode();
    }
}

[$db, $other, $holder] = [connect(), connect(), connect()];

$result = upsert($db, product('A-1', ['stock' => 12]));
check([$result['action'], $result['product']['stock']], ['created', 12], 'a new key is created');
$result = upsert($db, product('A-1', ['stock' => 11]));
check([$result['action'], $result['previous']], ['updated', ['stock' => 12]],
    'a known key is updated, with the previous value');
check(upsert($db, product('A-1', ['stock' => 11]))['action'], 'unchanged', 'the same again is unchanged');

$results = upsert($db, [product('A-2'), product('A-1', ['stock' => 10])]);
check(array_map(fn ($r) => [$r['action'], $r['product']['serial']], $results),
    [['created', 'A-2'], ['updated', 'A-1']], 'an array has its results in order');

upsert($db, product('A-3', ['manufacturer' => null]));
$result = upsert($db, product('A-3', ['manufacturer' => null]));
check([$result['action'], $result['product']['manufacturer']], ['unchanged', null], 'null in the key equals null');

$result = upsert($db, product('Größe 日本 😀'));
check(value($db, "SELECT count(*) FROM product WHERE md5(serial) = '0205e302d3cdcff15e51ae606c8bbda0'"), 1,
    'characters of two to four bytes are stored as sent');
check($result['product']['serial'], 'Größe 日本 😀', 'characters of two to four bytes come back as sent');

[$price, $stock] = ['12345678901234567890.0123456789', 9007199254740993];
$result = upsert_price($db, product('A-4', ['price' => $price, 'stock' => $stock]));
check(value($db, "SELECT price || ' ' || stock FROM product WHERE serial = 'A-4'"),
    '12345678901234567890.0123456789 9007199254740993', 'large numbers are stored exactly');
check($result, ['action' => 'created', 'price' => $price, 'stock' => "$stock"], 'large numbers come back exactly');

check(sqlstate(fn () => upsert($db, product('A-1', ['colour' => 'red']))), '42703', 'an unknown field is 42703');
check(upsert_if($db, product('A-1', ['stock' => 9]), ['stock' => 10])['action'], 'updated',
    'if_match that matches is an update');
$refused = sqlstate(fn () => upsert_if($db, product('A-1', ['stock' => 8]), ['stock' => 10]));
check([$refused, value($db, "SELECT stock FROM product WHERE serial = 'A-1'")], ['PT412', 9],
    'if_match that does not match is PT412, and writes nothing');

$holder->beginTransaction();
upsert($holder, product('A-1'));
$other->exec("SET lock_timeout = '100ms'");
check(sqlstate(fn () => upsert($other, product('A-1'))), '55P03', 'a lock not to be had in time is 55P03');
$holder->commit();

$fresh = connect();
$statement = $fresh->prepare('SELECT product_upsert(?)');
for ($n = 1; $n <= 10; $n++) {
    $statement->execute([json_encode(product('A-5', ['stock' => $n]))]);
}
$result = json_decode($statement->fetchColumn(), true);
check([$result['product']['stock'], value($fresh, 'SELECT prepared()')], [10, 1], 'a prepared statement, ten times');

// The same object sends the statement each time, if the connection is told so.
$fresh = connect();
$fresh->setAttribute(PDO::PGSQL_ATTR_DISABLE_PREPARES, true);
$statement = $fresh->prepare('SELECT product_upsert(?)');
for ($n = 11; $n <= 20; $n++) {
    $statement->execute([json_encode(product('A-5', ['stock' => $n]))]);
}
$result = json_decode($statement->fetchColumn(), true);
check([$result['product']['stock'], value($fresh, 'SELECT prepared()')], [20, 0], 'no prepared statement, ten times');

// A large object is sent as it is. Binary jsonb is its version, 1, and the text.
$statement = $db->prepare('SELECT product_upsert(?)');
$statement->bindValue(1, "\x01" . json_encode(product('A-6', ['price' => $price])), PDO::PARAM_LOB);
$statement->execute();
check(value($db, "SELECT price::text FROM product WHERE serial = 'A-6'"), $price, 'binary parameter');
skip('binary result', 'PDO receives text');

// The third connection holds the key until both wait for it.
[$waited, $actions, $rows] = [[], [], []];
for ($n = 1; $n <= 5; $n++) {
    $serial = "R-$n";
    $holder->beginTransaction();
    $holder->prepare("SELECT product_upsert_lock('product', ?)")->execute([json_encode(product($serial))]);
    $racers = $pipes = [];
    foreach ([0, 1] as $stock) {
        $command = [PHP_BINARY, __FILE__, json_encode(product($serial, ['stock' => $stock]))];
        $racers[] = proc_open($command, [1 => ['pipe', 'w']], $pipes[]);
    }
    $waited[] = value($holder, 'SELECT both_wait()');
    $holder->commit();
    $done = array_map(fn ($pipe) => stream_get_contents($pipe[1]), $pipes);
    sort($done);
    $actions[] = $done;
    $rows[] = value($db, "SELECT count(*) FROM product WHERE serial = '$serial'");
}
check($waited, array_fill(0, 5, true), 'race: both wait for the key');
check($actions, array_fill(0, 5, ['created', 'updated']), 'race: one creates, the other updates');
check($rows, array_fill(0, 5, 1), 'race: each key has one row');

echo "1..$tests\n";
