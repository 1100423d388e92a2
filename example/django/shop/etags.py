"""
ETag and If-Match. A product's ETag is its id and version: the version is counted up with every change of the
row, whoever makes it, and an id is never given to another row, so two states never have the same ETag.
"""
import re

from django.utils.http import parse_etags
from rest_framework.exceptions import APIException

from .models import Product

OURS = re.compile(r'"([0-9]{1,18})-([0-9]{1,18})"')


class PreconditionFailed(APIException):
    status_code = 412
    default_detail = "The stored product has none of the ETags in If-Match."


def etag(product):
    return f'"{product.id}-{product.version}"'


def if_match(request, key):
    """
    Returns what the stored product must be like according to the header If-Match, as product_upsert takes it.
    Whether it is like that is tested there, under the product's lock. Only which one of several ETags to ask
    for is found out by a look: if that is overtaken, the answer is 412.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return None
    tags = parse_etags(header)
    if tags == ["*"]:
        return {}
    # A tag that is weak, or that we did not make, matches nothing.
    ours = filter(None, map(OURS.fullmatch, tags))
    states = [{"id": int(match[1]), "version": int(match[2])} for match in ours]
    if len(states) > 1:
        stored = list(Product.objects.filter(**key).values("id", "version"))
        states = [state for state in states if state in stored]
    if not states:
        raise PreconditionFailed
    return states[0]
