"""JSON as text: values on the boundaries of every type, and mutations. Text, as not all of it is valid JSON."""
import json

LONG = 1 << 20

NUMBERS = """0 1 -1 -0 7 1.5 1.50 2.25 99.96 999.995 1e3 1e-7 127 128 255 256 32767 32768 -32768 -32769 65535
    2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 9007199254740993 9223372036854775807
    9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616
    3.4028235e38 3.5e38 1e-46 1.7976931348623157e308 1.8e308 5e-324 1e-400 1e131071 1e-16383
    0.1000000000000000055511151231257827""".split()

STRINGS = [
    "", " ", "a", "ab ", "abc", "abcd", "abcde", "äöü", "ß", "ẞ", "e\u0301", "é", "ABC", "日本", "😀", "\U0010ffff",
    "\ufeff", "\u00a0", "\u2028", "\t\n\r", "\x01\x1f\x7f", "'", '"', "\\", "\\\\", "$j$", "--", "/*", "%s %n",
    "null", "NULL", "true", "t", "yes", "off", "1", " 1 ", "-1", "+1", "1.50", "1_000", "0x10", "1e5", "2147483648",
    "1e400", "NaN", "nan", "Infinity", "-Infinity", "inf", "-0", "-32769", "9223372036854775808", "now", "today",
    "epoch", "allballs", "infinity", "-infinity", "2024-02-29", "2023-02-29", "2024-13-01", "1/2/3", "4714-11-24 BC",
    "4714-11-23 BC", "5874897-12-31", "5874898-01-01", "294276-12-31 23:59:59.999999", "294277-01-01",
    "2024-02-29 12:34:56.789999+02", "2024-10-27 02:30:00 Europe/Berlin", "2024-01-01 00:00:00 Nowhere/At",
    "24:00:00", "24:00:01", "12:34:56.7895", "12:34:60", "00:00:00-15:59:59", "00:00:00+16", "04:05 PM",
    "1 year 2 months 3 days 04:05:06.789", "P1Y2M3DT4H5M6.7S", "178000000 years", "178956971 years",
    "-2147483648 days", "9223372036854775807 microseconds", "1 day ago", "{}", "{1,2}", "{1,NULL,a}",
    '{"a b","c\\"d"}', "[0:1]={1,2}", "{{1},{2}}", "{{1},{2,3}}", "{1,{2}}", "{", "1", "}", "{", "[1,2)", "[2,1)",
    "(1,1]", "empty", "(,)", "[,]", "{[1,2),[3,4)}", "[2024-01-01,2024-12-31]", "[NaN,]", "(1,a)", "(,)", "(1,2,3)",
    "(", '("1","a ""b")', '{"a": 1}', "[1, 2]", "0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF", "1/2/3", "10.0.0.1/8",
    "10.0.0.0/8", "::1", "::ffff:1.2.3.4/129", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "08:00:2b:01:02:03", "08:00:2b:01:02:03:04:05", "\\x00ff", "\\x0", "\\xgg",
    "\\000\\377", "\\400", "101", "B101", "X1F", "10101", "10:20:10,14,15", "20:10:", "(4294967295,65535)",
    "(1,65536)", "4294967295", "18446744073709551615", "(1.5,-2)", "(NaN,Infinity)", "{1,2,3}", "{0,0,0}",
    "[(1,2),(3,4)]", "((1,2),(3,4))", "<(1,2),3>", "<(1,2),-3>", "pg_class", "pg_catalog.pg_class", "no_such_thing",
    "a.b.c.d", "-", "text", "int4[]", "timestamp(3", "now", "lower(text)", "||/", "=(text,text)", "pg_monitor", '"C"',
    "english", "simple", "=r/pg_monitor", "x=zz/y", "'a':1A 'b':2,3B", "a & !b:*A | c <2> d", "a &",
    "$.a[*] ? (@ > 1)", "strict $.x", "$[", "<a b=\"c\">x &amp; y</a>", "<a>", "<!DOCTYPE a>", "$1.50", "($1.00)",
    "$92,233,720,368,547,758.08", "good", "a=>1, b=>NULL", "a=>", "Top.Science", "a..b", "*.a{1,}.b", "a&b", "1..2",
    "1.0 .. 2", "978-0-393-04002-9", "1 2 3", "1 -2", "(1,2),(3,4)",
]

# What only the parser of jsonb gets to see, or refuses; and strings with escapes that are more than they seem.
RAW = [
    "1e131072", "1e-16384", '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\q"',
    '"\\u12"', '"\\', '"', "01", "1.", ".5", "+1", "1e", "NaN", "nul", "True", "[1,]", "{,}", '{"a"}',
    '{"a":1 "b":2}', "[1 2]", "]", "", "\x01", '{"a":1,"a":2}', '{"a":null,"a":1,"b":"x"}',
]

STRUCTURES = [
    "[]", "{}", "[1]", "[1, 2, 3]", "[null]", "[null, null]", "[[1], [2]]", "[[1], [2, 3]]", "[1, [2]]", "[[]]",
    "[[], [1]]", '["a", null, true]', "[true]", "[{}]", '[{"a": 1}, null]', '[{"a": 1, "b": "x"}]', "[[[[[[[1]]]]]]]",
    "[[[[[[1]]]]]]", '{"a": 1, "b": "x"}', '{"a": null}', '{"A": 1}', '{"b": [1, {"c": 2.50}]}', '{"a": "x"}',
    '{"a": {"a": 1}}', '{"p": {"a": 1, "b": "y"}, "q": [1, 2]}', '{"p": {"a": "x"}}', '{"q": [[1], [2]]}', '{"": 1}',
    '{"\\"": 1, "a.b": 2}',
]

CONSTANTS = ["null", "true", "false"]


def string(text):
    return json.dumps(text, ensure_ascii=False)


def candidates():
    """What every type is tried with, to find out what it takes."""
    return CONSTANTS + NUMBERS + [string(text) for text in STRINGS] + STRUCTURES


def member(name, value):
    return f"{string(name)}: {value}"


def obj(fields):
    """fields: pairs of name and JSON text; a name may come twice."""
    return "{" + ", ".join(member(name, value) for name, value in fields) + "}"


def array(elements):
    return "[" + ", ".join(elements) + "]"


def huge(rng):
    """A value of about a megabyte."""
    return rng.choice([
        lambda: string("x" * LONG),
        lambda: string("é" * (LONG // 2)),
        lambda: "1" * (LONG // 8),
        lambda: array(["1"] * (LONG // 8)),
        lambda: array(["null"] * (LONG // 8)),
        lambda: string("{" + ",".join(["1"] * (LONG // 8)) + "}"),
        lambda: obj([(f"k{n}", "1") for n in range(LONG // 32)]),
        lambda: "[" * 2000 + "]" * 2000,
    ])()


def mutate_text(rng, text):
    """A few characters of it dropped, doubled, exchanged or put in."""
    characters = list(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(characters) + 1)
        what = rng.randrange(5)
        if what == 0 and at < len(characters):
            del characters[at]
        elif what == 1 and at < len(characters):
            characters.insert(at, characters[at])
        elif what == 2 and at + 1 < len(characters):
            characters[at], characters[at + 1] = characters[at + 1], characters[at]
        elif what == 3:
            characters.insert(at, rng.choice("0123456789-+.,:;()[]{}<>\"'\\/ eEaZ$&|!*äß日😀\u00a0"))
        elif at < len(characters):
            del characters[at:at + rng.randint(1, 4)]
    return "".join(characters)


def mutate_value(rng, text):
    """A value made another one: within its string, or its structure."""
    try:
        value = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return mutate_text(rng, text)
    if isinstance(value, str) and rng.random() < 0.8:
        return string(mutate_text(rng, value))
    return rng.choice([
        lambda: array([text]),
        lambda: array([text, "null", text]),
        lambda: obj([("a", text)]),
        lambda: obj([("v", text), ("v", "null")]),
        lambda: string(text),
        lambda: mutate_text(rng, text),
    ])()


def value_for(rng, pool):
    """A value for a column that takes those in pool: often one of them, often one near to them, sometimes anything."""
    dice = rng.random()
    if dice < 0.35 and pool:
        return rng.choice(pool)
    if dice < 0.65 and pool:
        return mutate_value(rng, rng.choice(pool))
    if dice < 0.70:
        return rng.choice(RAW)
    if dice < 0.71:
        return huge(rng)
    return rng.choice(candidates())


ODD_NAMES = [
    "", " ", "V", "v ", '"v"', "v.v", "v\\u0000", "ctid", "xmin", "tableoid", "x", "x", "x", "é", "😀",
    "........pg.dropped.2........", "brand", "BRAND", "a\"b", "a'b", "$1", "%s", "\\ud800", "product", "null",
]


def mutate_structure(rng, fields):
    """Fields of an object, with one of them dropped, doubled, renamed, exchanged, nested or given another value."""
    fields = list(fields)
    if not fields:
        return [(rng.choice(ODD_NAMES), "1")]
    at, other = rng.randrange(len(fields)), rng.randrange(len(fields))
    name, value = fields[at]
    what = rng.randrange(8)
    if what == 0:
        del fields[at]
    elif what == 1:
        fields.append((name, rng.choice(candidates())))
    elif what == 2:
        fields[at] = (rng.choice(ODD_NAMES), value)
    elif what == 3:
        fields[at], fields[other] = (name, fields[other][1]), (fields[other][0], value)
    elif what == 4:
        fields[at] = (name, obj(fields))
    elif what == 5:
        fields[at] = (name, array([value] * rng.randint(0, 3)))
    elif what == 6:
        fields.append((rng.choice(ODD_NAMES), value))
    else:
        fields[at] = (name, rng.choice(candidates() + RAW))
    return fields


def mutate_root(rng, text):
    """What is no object at all, or one in a wrapping of some kind."""
    return rng.choice([
        lambda: rng.choice(candidates() + RAW), lambda: array([]), lambda: array([array([text])]), lambda: array([text, "1"]),
        lambda: array([text, "null"]), lambda: string(text), lambda: obj([("payload", text)]), lambda: text + text,
        lambda: mutate_text(rng, text), lambda: "{}", lambda: array(["{}"])])()


def dollar(text):
    """As a literal that means the same whatever standard_conforming_strings is."""
    tag = "j"
    while f"${tag}$" in text or text.endswith(f"${tag}"):
        tag += "j"
    return f"${tag}${text}${tag}$"


def literal(text):
    return f"{dollar(text)}::jsonb"
