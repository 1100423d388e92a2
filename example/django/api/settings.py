import os

SECRET_KEY = os.environ.get("SECRET_KEY", "nothing is signed with it here")
ALLOWED_HOSTS = ["localhost"]
INSTALLED_APPS = ["rest_framework", "shop"]
ROOT_URLCONF = "api.urls"
WSGI_APPLICATION = "api.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "shop"),
        # Host and user are what PGHOST and PGUSER say.
        "CONN_MAX_AGE": 60,
        # Who waits longer for a product gets the answer 503.
        "OPTIONS": {"options": "-c lock_timeout=3s"},
    }
}

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "shop.errors.exception_handler",
    "DEFAULT_PARSER_CLASSES": ["shop.parsers.ExactJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Anybody may write here. An application has users.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
