"""
Four endpoints that create a product or update it. The first three are how it is usually written; the last
one needs neither a unique constraint nor the guard.
"""
from django.db import transaction
from rest_framework.decorators import api_view
from rest_framework.response import Response

from .etags import etag, if_match
from .models import Product
from .serializers import ProductSerializer


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
    product, created = Product.objects.upsert({**key, **values}, if_match(request, key))
    return answer(product, created, ETag=etag(product))


def validated(request):
    """Returns the key and the other values that the request gives."""
    serializer = ProductSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    values = dict(serializer.validated_data)
    return {field: values.pop(field) for field in Product.KEY}, values


def answer(product, created, **headers):
    return Response(ProductSerializer(product).data, 201 if created else 200, headers=headers)
