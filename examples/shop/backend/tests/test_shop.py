"""The API as its clients see it."""

from __future__ import annotations

import hashlib
import json
from unittest import skipUnless

from django.db import connection
from django.test import TestCase, override_settings

from catalog.models import Product
from orders.models import Execution, Order
from shop import identity

CONTACT = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "street": "12 St James's Square",
    "postcode": "SW1Y 4JH",
    "city": "London",
}


def order_of(**quantities: int) -> dict[str, object]:
    lines = [
        {"product": slug.replace("_", "-"), "quantity": quantity}
        for slug, quantity in quantities.items()
    ]
    return {"contact": CONTACT, "lines": lines}


@override_settings(SECURE_SSL_REDIRECT=False, SHOP_DRILLS=False, SHOP_UNLIMITED_STOCK=False)
class ShopTest(TestCase):
    def place(self, order: object, key: str = ""):
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.post(
            "/api/orders/", json.dumps(order), content_type="application/json", headers=headers
        )


class CatalogTest(ShopTest):
    def test_the_shop_opens_with_twelve_products_that_have_a_price_and_a_drawing(self):
        products = self.client.get("/api/products/").json()["products"]
        self.assertEqual(len(products), 12)
        self.assertEqual(len({product["art"] for product in products}), 12)
        self.assertTrue(all(product["price"] > 0 for product in products))

    def test_a_product_has_a_description_and_facts(self):
        product = self.client.get("/api/products/sparrow-bell/").json()["product"]
        self.assertEqual(product["name"], "Sparrow bell")
        self.assertIn(["Weight", "42 g"], product["facts"])

    def test_an_unknown_product_is_a_404_in_json(self):
        answer = self.client.get("/api/products/penny-farthing/")
        self.assertEqual(answer.status_code, 404)
        self.assertIn("penny-farthing", answer.json()["error"])


class OrderTest(ShopTest):
    def test_an_order_is_priced_by_the_shop_and_taken_from_stock(self):
        before = Product.objects.get(slug="sparrow-bell").stock
        answer = self.place(order_of(sparrow_bell=2))
        order = answer.json()["order"]
        self.assertEqual(answer.status_code, 201)
        self.assertEqual((order["subtotal"], order["shipping"], order["total"]), (4800, 490, 5290))
        self.assertEqual(Product.objects.get(slug="sparrow-bell").stock, before - 2)

    def test_a_large_order_ships_free(self):
        self.assertEqual(self.place(order_of(meridian_wheel=1)).json()["order"]["shipping"], 0)

    def test_an_order_can_be_looked_at_by_its_number_without_its_address(self):
        number = self.place(order_of(sparrow_bell=1)).json()["order"]["number"]
        answer = self.client.get(f"/api/orders/{number}/")
        self.assertEqual(answer.json()["order"]["lines"][0]["name"], "Sparrow bell")
        self.assertNotIn(CONTACT["street"], answer.content.decode())

    def test_more_than_there_is_changes_nothing(self):
        Product.objects.filter(slug="longway-saddle").update(stock=1)
        before = Product.objects.get(slug="sparrow-bell").stock
        answer = self.place(order_of(sparrow_bell=1, longway_saddle=2))
        self.assertEqual(answer.status_code, 409)
        self.assertEqual(answer.json()["left"], {"longway-saddle": 1})
        self.assertEqual(Product.objects.get(slug="sparrow-bell").stock, before)
        self.assertEqual(Order.objects.count(), 0)

    @override_settings(SHOP_UNLIMITED_STOCK=True)
    def test_stock_lasts_for_ever_under_load_tests(self):
        Product.objects.filter(slug="longway-saddle").update(stock=0)
        self.assertEqual(self.place(order_of(longway_saddle=2)).status_code, 201)

    def test_every_problem_is_named_at_once(self):
        lines = [{"product": "sparrow-bell", "quantity": 0}, {"product": 7, "quantity": 1}]
        answer = self.place({"contact": CONTACT | {"email": "ada", "city": ""}, "lines": lines})
        self.assertEqual(answer.status_code, 400)
        self.assertEqual(set(answer.json()["fields"]), {"email", "city", "lines"})

    def test_what_is_no_order_is_refused_without_an_error_of_ours(self):
        for wrong in (None, [], "order", {"lines": {}}, {"contact": [], "lines": [None]}):
            with self.subTest(wrong=wrong):
                self.assertEqual(self.place(wrong).status_code, 400)
        unknown = self.place(order_of(penny_farthing=1))
        self.assertEqual(
            unknown.json()["fields"], {"lines": ["There is no product penny-farthing."]}
        )

    def test_only_json_is_read(self):
        self.assertEqual(self.client.post("/api/orders/", {"a": "b"}).status_code, 415)
        answer = self.client.post("/api/orders/", "{", content_type="application/json")
        self.assertEqual(answer.status_code, 400)


class IdempotencyTest(ShopTest):
    def test_the_same_request_twice_is_one_order_and_two_executions(self):
        first, second = (self.place(order_of(sparrow_bell=1), key="run-1") for _ in range(2))
        self.assertEqual((first.status_code, second.status_code), (201, 200))
        self.assertEqual(first.json(), second.json())
        self.assertEqual(Order.objects.count(), 1)
        outcomes = Execution.objects.order_by("pk").values_list("outcome", flat=True)
        self.assertEqual(list(outcomes), ["placed", "replayed"])

    def test_a_key_cannot_be_used_for_another_order(self):
        self.place(order_of(sparrow_bell=1), key="run-1")
        self.assertEqual(self.place(order_of(sparrow_bell=2), key="run-1").status_code, 422)

    def test_orders_without_a_key_are_independent(self):
        self.place(order_of(sparrow_bell=1))
        self.place(order_of(sparrow_bell=1))
        self.assertEqual(Order.objects.count(), 2)

    def test_a_refused_order_counts_as_executed_and_frees_its_key(self):
        Product.objects.filter(slug="longway-saddle").update(stock=0)
        self.place(order_of(longway_saddle=1), key="run-1")
        Product.objects.filter(slug="longway-saddle").update(stock=1)
        self.assertEqual(self.place(order_of(longway_saddle=1), key="run-1").status_code, 201)
        self.assertEqual(Execution.objects.filter(key="run-1").count(), 2)

    def test_an_endless_key_is_refused(self):
        self.assertEqual(self.place(order_of(sparrow_bell=1), key="k" * 121).status_code, 400)


@override_settings(STATS_TOKEN="planted-token")
class StatsTest(ShopTest):
    def stats(self, query: str = "", token: str = "planted-token"):
        return self.client.get(f"/api/stats/{query}", headers={"Authorization": f"Bearer {token}"})

    def test_duplicates_of_one_run_are_counted_and_named(self):
        for key in ("a-1", "a-2", "a-2", "b-1", "b-1"):
            self.place(order_of(sparrow_bell=1), key=key)
        counts = self.stats("?prefix=a-").json()
        self.assertEqual((counts["orders"], counts["executions"], counts["keys"]), (2, 3, 2))
        self.assertEqual((counts["duplicates"], counts["duplicated"]), (1, {"a-2": 2}))
        self.assertEqual(counts["by_outcome"], {"placed": 2, "replayed": 1})
        self.assertEqual(counts["by_backend"], {identity.BACKEND: 3})

    def test_one_key_lists_its_executions(self):
        self.place(order_of(sparrow_bell=1), key="a-1")
        executions = self.stats("?key=a-1").json()["executions"]
        self.assertEqual([execution["release"] for execution in executions], [identity.RELEASE])

    def test_only_the_token_opens_them(self):
        self.assertEqual(self.stats(token="guess").status_code, 401)
        self.assertEqual(self.client.get("/api/stats/").status_code, 401)
        with override_settings(STATS_TOKEN=""):
            self.assertEqual(self.stats(token="").status_code, 404)


class DrillTest(ShopTest):
    def test_drills_are_hidden_unless_switched_on(self):
        self.assertEqual(self.client.get("/api/slow/?seconds=0").status_code, 404)
        self.assertEqual(self.client.post("/api/upload/").status_code, 404)

    @override_settings(SHOP_DRILLS=True)
    def test_slow_answers_are_bounded(self):
        self.assertEqual(self.client.get("/api/slow/?seconds=0.01").json(), {"slept": 0.01})
        for wrong in ("31", "-1", "nan", "inf", "soon"):
            with self.subTest(seconds=wrong):
                answer = self.client.get(f"/api/slow/?seconds={wrong}")
                self.assertEqual(answer.status_code, 400)

    @override_settings(SHOP_DRILLS=True)
    def test_an_upload_larger_than_djangos_limit_is_read_and_counted(self):
        body = bytes(range(256)) * 12_000
        answer = self.client.post(
            "/api/upload/",
            body,
            content_type="application/octet-stream",
            headers={"Idempotency-Key": "up-1"},
        )
        self.assertEqual(
            answer.json(), {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        )
        self.assertEqual(Execution.objects.get(key="up-1").outcome, "drill")


class ServiceTest(ShopTest):
    def test_every_answer_names_its_backend_and_is_not_stored(self):
        for path in ("/api/ping", "/health", "/api/products/", "/no/such/page"):
            with self.subTest(path=path):
                answer = self.client.get(path)
                self.assertEqual(answer.headers["X-Shop-Backend"], identity.BACKEND)
                self.assertEqual(answer.headers["X-Shop-Release"], identity.RELEASE)
                self.assertEqual(answer.headers["X-Shop-Server"], identity.SERVER)
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
                self.assertEqual(answer.headers["Content-Length"], str(len(answer.content)))

    def test_health_is_ok_while_the_database_answers(self):
        answer = self.client.get("/health")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(answer.json()["status"], "ok")

    @skipUnless(connection.vendor == "sqlite", "breaks the database by pointing at a folder")
    def test_health_is_503_without_the_database_and_keeps_the_reason_to_itself(self):
        name = connection.settings_dict["NAME"]
        connection.settings_dict["NAME"] = "/nowhere/at/all.sqlite3"
        try:
            with self.assertLogs("shop.views", "ERROR"):
                answer = self.client.get("/health")
        finally:
            connection.settings_dict["NAME"] = name
        self.assertEqual(answer.status_code, 503)
        self.assertNotIn("nowhere", answer.content.decode())

    def test_a_ping_asks_the_database_nothing(self):
        with self.assertNumQueries(0):
            self.assertEqual(self.client.get("/api/ping").content, b"pong")

    @override_settings(SECURE_SSL_REDIRECT=True)
    def test_plain_http_is_redirected_and_the_proxys_word_on_https_is_taken(self):
        self.assertEqual(self.client.get("/health").status_code, 301)
        proxied = self.client.get("/health", headers={"X-Forwarded-Proto": "https"})
        self.assertEqual(proxied.status_code, 200)

    @override_settings(ALLOWED_HOSTS=["shop.example.com"])
    def test_another_host_name_is_refused(self):
        with override_settings(SECURE_SSL_REDIRECT=True):
            answer = self.client.get("/api/ping", headers={"Host": "evil.example"})
        self.assertEqual(answer.status_code, 400)


@override_settings(CORS_ALLOWED_ORIGINS=["https://www.example.com"])
class TwoHostsTest(ShopTest):
    def test_a_preflight_from_the_shops_pages_is_answered(self):
        answer = self.client.options(
            "/api/orders/",
            headers={
                "Origin": "https://www.example.com",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type,idempotency-key",
            },
        )
        self.assertEqual(answer.status_code, 204)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://www.example.com")
        self.assertIn("Idempotency-Key", answer.headers["Access-Control-Allow-Headers"])

    def test_its_pages_may_see_which_backend_answered(self):
        answer = self.client.get("/api/ping", headers={"Origin": "https://www.example.com"})
        self.assertIn("X-Shop-Backend", answer.headers["Access-Control-Expose-Headers"])

    def test_other_origins_get_nothing(self):
        answer = self.client.get("/api/ping", headers={"Origin": "https://evil.example"})
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
        self.assertEqual(answer.headers["Vary"], "Origin")
