"""Looks at the admin as two people; prints where the dashboard's link leads."""

import json
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.contrib.auth.models import User
from django.test import Client

PLACE = "/admin/gopher/dashboard/"


def look(name: str, *, superuser: bool) -> list:
    user = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
    browser = Client()
    browser.force_login(user)
    answer = browser.get(PLACE)
    return [PLACE in browser.get("/admin/").content.decode(), answer.status_code, answer.headers.get("Location")]


print(json.dumps([look("root", superuser=True), look("staff", superuser=False)]))
