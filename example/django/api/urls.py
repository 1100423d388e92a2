from django.urls import path

from shop import views

urlpatterns = [
    path("products/filter-then-save", views.filter_then_save),
    path("products/update-or-create", views.update_or_create),
    path("products/atomic", views.atomic),
    path("products/upsert", views.upsert),
    path("products/import", views.import_products),
]
