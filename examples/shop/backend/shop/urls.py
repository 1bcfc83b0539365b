"""Every address the API answers."""

from __future__ import annotations

from django.urls import path

import catalog.views
import orders.views

from . import drills, views

urlpatterns = [
    path("health", views.health),
    path("api/ping", views.ping),
    path("api/whoami", views.whoami),
    path("api/products/", catalog.views.products),
    path("api/products/<slug:slug>/", catalog.views.product),
    path("api/orders/", orders.views.place_order),
    path("api/orders/<str:number>/", orders.views.order),
    path("api/stats/", orders.views.stats),
    path("api/slow/", drills.slow),
    path("api/upload/", drills.upload),
]

handler400 = "shop.views.bad_request"
handler404 = "shop.views.not_found"
handler500 = "shop.views.server_error"
