"""
Four endpoints that create a product or update it. The first three are how it is usually written; the fourth
needs neither a unique constraint nor the guard. The fifth takes many products at once.
"""
from django.db import transaction
from rest_framework.decorators import api_view
from rest_framework.fields import ListField
from rest_framework.response import Response
from rest_framework.settings import api_settings

from .etags import etag, if_match
from .models import Product
from .serializers import ProductSerializer

# With more than product_upsert.max_key_locks, by default 256, an import would lock out all other writers.
IMPORT_MAX = 256


@api_view(["POST"])
def filter_then_save(request):
    key, values = validated(request)
    product = Product.objects.filter(**key).first()
    created = product is None
    if created:
        product = Product(**key)
    for field, value in values.items():
        setattr(product, field, value)
    product.save()
    return answer(product, created)


@api_view(["POST"])
def update_or_create(request):
    key, values = validated(request)
    product, created = Product.objects.update_or_create(**key, defaults=values)
    return answer(product, created)


@api_view(["POST"])
def atomic(request):
    key, values = validated(request)
    with transaction.atomic():
        products = Product.objects.filter(**key)
        created = not products.exists()
        if created:
            product = Product.objects.create(**key, **values)
        else:
            products.update(**values)
            product = products.first()
    return answer(product, created)


@api_view(["POST"])
def upsert(request):
    key, values = validated(request)
    product, created = Product.objects.upsert({**key, **values}, if_match(request, key), {"source": "upsert"})
    return answer(product, created, ETag=etag(product))


@api_view(["POST"])
def import_products(request):
    """
    Takes an array. What is right in it is stored, whatever is wrong with the rest. Answers 200 if all is
    right, else 207.
    """
    elements = ListField(max_length=IMPORT_MAX).run_validation(request.data)
    serializers = [ProductSerializer(data=element) for element in elements]
    valid = [serializer.validated_data for serializer in serializers if serializer.is_valid()]
    results = iter(Product.objects.upsert_each(valid, {"source": "import"}))
    # Who has not got past the serializer is not in the results.
    answers = [failure(each.errors) if each.errors else outcome(next(results)) for each in serializers]
    return Response(answers, 207 if any("errors" in each for each in answers) else 200)


def outcome(result):
    """Returns what the client gets to see of a result of product_upsert."""
    if result["action"] == "failed":
        error = result["error"]
        # The detail beside the message would show the values of rows.
        return failure({error["field"] or api_settings.NON_FIELD_ERRORS_KEY: [error["message"]]})
    return {"action": result["action"], "product": ProductSerializer(result["product"]).data}


def failure(errors):
    """Errors of the database look like the serializer's: lists, each beside the field that it is about."""
    return {"action": "failed", "errors": errors}


def validated(request):
    """Returns the key and the other values that the request gives."""
    serializer = ProductSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    values = dict(serializer.validated_data)
    return {field: values.pop(field) for field in Product.KEY}, values


def answer(product, created, **headers):
    return Response(ProductSerializer(product).data, 201 if created else 200, headers=headers)
