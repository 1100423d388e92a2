"""
Database errors as HTTP answers. In the settings:

    REST_FRAMEWORK = {"EXCEPTION_HANDLER": "shop.errors.exception_handler"}
"""
from django.db import DatabaseError, OperationalError
from rest_framework import views
from rest_framework.exceptions import APIException

# A SQLSTATE, or the two characters that all of a class begin with.
STATUS = {
    "22": 400,  # a value does not fit its column
    "23502": 400,  # a value is missing
    "23514": 400,  # a check constraint refuses a value
    "42703": 400,  # no such field
    "21000": 409,  # several rows have this key already
    "23": 409,  # another row has the key, a referenced row is missing, and the like
    "PT412": 412,  # the stored row does not match if_match
    "55P03": 503,  # waited too long for a lock
    "40": 503,  # serialization failure, deadlock
    "57": 503,  # cancelled, took longer than statement_timeout, shutting down
    "53": 503,  # out of connections, memory or disk space
    "08": 503,  # connection lost
}
RETRY_AFTER = 1  # seconds


def exception_handler(exc, context):
    if isinstance(exc, DatabaseError):
        exc = http_error(exc) or exc
    return views.exception_handler(exc, context)


def http_error(error):
    """Returns what to raise instead, or None if the client can do nothing about it: that stays a 500."""
    cause = error.__cause__  # the driver's own error: psycopg's, or psycopg2's
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if sqlstate:
        status = STATUS.get(sqlstate) or STATUS.get(sqlstate[:2])
    else:
        # No word from the server: it cannot be reached.
        status = 503 if isinstance(error, OperationalError) else None
    if status is None:
        return None
    if status == 503:
        answer = APIException("The database is busy or not available. Try again.")
        answer.wait = RETRY_AFTER
    else:
        # The detail beside the message would show the values of rows.
        answer = APIException(cause.diag.message_primary)
    answer.status_code = status
    return answer
