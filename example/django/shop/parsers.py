import codecs
import json
from decimal import Decimal

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils.json import strict_constant


class ExactJSONParser(JSONParser):
    """Numbers with a fraction become Decimal. As float, a long price would be another one."""

    def parse(self, stream, media_type=None, parser_context=None):
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            text = codecs.getreader(encoding)(stream)
            return json.load(text, parse_float=Decimal, parse_constant=strict_constant)
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}")
