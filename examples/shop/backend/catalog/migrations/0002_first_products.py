"""The range that the shop opens with."""

from django.db import migrations

PRODUCTS = [
    {
        "slug": "meridian-wheel",
        "name": "Meridian touring wheel",
        "category": "Wheels",
        "summary": "Thirty-two spokes, three cross, built by hand and trued twice.",
        "description": (
            "A wheel for long roads and heavy bags. We lace every Meridian by hand, let it settle "
            "for a night and true it again in the morning, because a wheel only tells the truth "
            "the second time. Sealed bearings, double-butted spokes, and a rim wide enough for "
            "the tyres you really want."
        ),
        "facts": [
            ["Size", "622 × 21 mm"],
            ["Spokes", "32, double butted"],
            ["Weight", "945 g"],
            ["Warranty", "Five years"],
        ],
        "price": 18900,
        "stock": 14,
        "art": "wheel",
    },
    {
        "slug": "fieldway-tyre",
        "name": "Fieldway gravel tyre",
        "category": "Wheels",
        "summary": "Quick on tarmac, calm on gravel, tan on the side.",
        "description": (
            "A close centre tread that hums along on tarmac, with shoulder knobs that wait until "
            "you lean on them. The casing is supple, the bead seats by hand, and the tan sidewall "
            "makes any bicycle look as if it has somewhere nice to be."
        ),
        "facts": [
            ["Size", "40-622"],
            ["Casing", "120 tpi"],
            ["Pressure", "2.5 to 4 bar"],
            ["Tubeless", "Ready"],
        ],
        "price": 4900,
        "stock": 46,
        "art": "tyre",
    },
    {
        "slug": "forty-two-chainring",
        "name": "Forty-Two chainring",
        "category": "Drivetrain",
        "summary": "One ring, forty-two teeth, no derailleur to argue with.",
        "description": (
            "Machined from a single plate of 7075 aluminium, with tall and narrow teeth that hold "
            "the chain over cobbles. Forty-two is the number we keep coming back to: hills at one "
            "end of it, tailwinds at the other."
        ),
        "facts": [
            ["Teeth", "42, narrow and wide"],
            ["Bolt circle", "110 mm, five arms"],
            ["Material", "7075-T6"],
            ["Weight", "88 g"],
        ],
        "price": 6400,
        "stock": 22,
        "art": "chainring",
    },
    {
        "slug": "eleven-cassette",
        "name": "Eleven cassette",
        "category": "Drivetrain",
        "summary": "Eleven sprockets in steps small enough to forget about.",
        "description": (
            "Eleven steel sprockets from eleven to thirty-four teeth, ramped and pinned so that "
            "each change lands before you have finished thinking of it. Nickel plated against "
            "winter, quiet against everything else."
        ),
        "facts": [
            ["Range", "11 to 34"],
            ["Material", "Nickel-plated steel"],
            ["Freehub", "HG, 11 speed"],
            ["Weight", "312 g"],
        ],
        "price": 7200,
        "stock": 31,
        "art": "cassette",
    },
    {
        "slug": "longway-saddle",
        "name": "Longway saddle",
        "category": "Cockpit",
        "summary": "Vegetable-tanned leather that learns your name in a month.",
        "description": (
            "Five millimetres of leather on steel rails, riveted in copper. It is firm on the "
            "first day, familiar after three hundred kilometres, and for the twenty years after "
            "that it is yours and nobody else's. Comes with a spanner and a tin of wax."
        ),
        "facts": [
            ["Width", "160 mm"],
            ["Leather", "Vegetable tanned, 5 mm"],
            ["Rails", "Steel, 7 mm"],
            ["Weight", "520 g"],
        ],
        "price": 11900,
        "stock": 9,
        "art": "saddle",
    },
    {
        "slug": "harbour-handlebar",
        "name": "Harbour handlebar",
        "category": "Cockpit",
        "summary": "A shallow drop with a little flare, for hands that move around.",
        "description": (
            "Three comfortable places for your hands and a fourth for the wind. The drops flare "
            "by twelve degrees, so there is room for a bag between them and leverage on loose "
            "ground. Cork tape included, wrapped by us if you ask."
        ),
        "facts": [
            ["Width", "440 mm"],
            ["Drop and reach", "115 and 70 mm"],
            ["Clamp", "31.8 mm"],
            ["Weight", "285 g"],
        ],
        "price": 8900,
        "stock": 17,
        "art": "handlebar",
    },
    {
        "slug": "deck-pedals",
        "name": "Deck pedals",
        "category": "Cockpit",
        "summary": "A broad platform with twenty pins, for the shoes you have on.",
        "description": (
            "No cleats, no ritual: step on and go. The deck is concave and wide, the pins can be "
            "changed with a hex key, and both bearings can be serviced on a kitchen table. Sold "
            "as a pair, as feet usually are."
        ),
        "facts": [
            ["Platform", "105 × 100 mm"],
            ["Pins", "20 a side"],
            ["Axle", "Chromoly"],
            ["Weight", "370 g the pair"],
        ],
        "price": 7900,
        "stock": 25,
        "art": "pedal",
    },
    {
        "slug": "sparrow-bell",
        "name": "Sparrow bell",
        "category": "Road kit",
        "summary": "Turned brass, one clear note, two seconds of it.",
        "description": (
            "Small enough to forget and loud enough to be thanked. The dome is turned from one "
            "piece of brass and rings for two seconds: long enough to be polite, short enough "
            "not to insist."
        ),
        "facts": [
            ["Clamp", "22.2 to 31.8 mm"],
            ["Material", "Brass, leather shim"],
            ["Note", "A, more or less"],
            ["Weight", "42 g"],
        ],
        "price": 2400,
        "stock": 80,
        "art": "bell",
    },
    {
        "slug": "dusk-lamp",
        "name": "Dusk front lamp",
        "category": "Road kit",
        "summary": "A cut-off beam that lights the road and not the other rider's eyes.",
        "description": (
            "Four hundred lumens shaped like a car's low beam: all of it on the road. It runs for "
            "six hours on a charge, takes a dynamo as well, and its body is a solid block of "
            "aluminium because lamps get dropped."
        ),
        "facts": [
            ["Output", "400 lm, 70 lx"],
            ["Runtime", "6 h"],
            ["Power", "USB-C or dynamo"],
            ["Weight", "134 g"],
        ],
        "price": 5800,
        "stock": 28,
        "art": "lamp",
    },
    {
        "slug": "oxbow-lock",
        "name": "Oxbow U-lock",
        "category": "Road kit",
        "summary": "Fourteen millimetres of hardened steel and a quiet mind.",
        "description": (
            "A double-bolted shackle in a sleeve that does not scratch your frame. The keyway has "
            "a cover against rain, the key lights up, and a third key stays with us in case the "
            "other two go for a swim."
        ),
        "facts": [
            ["Shackle", "14 mm, hardened"],
            ["Inside", "230 × 102 mm"],
            ["Keys", "Three"],
            ["Weight", "1,250 g"],
        ],
        "price": 6900,
        "stock": 19,
        "art": "lock",
    },
    {
        "slug": "spring-bottle",
        "name": "Spring steel bottle",
        "category": "Road kit",
        "summary": "Cold for a day, and it never tastes of yesterday.",
        "description": (
            "Double-walled steel that fits a normal cage. Cold water stays cold until evening, "
            "tea stays hot until the pass, and nothing ever tastes of plastic. Every part can be "
            "replaced, the dent from its first fall excepted."
        ),
        "facts": [
            ["Volume", "620 ml"],
            ["Material", "18/8 steel"],
            ["Lid", "One hand, no leaks"],
            ["Weight", "265 g"],
        ],
        "price": 3200,
        "stock": 64,
        "art": "bottle",
    },
    {
        "slug": "breeze-pump",
        "name": "Breeze pocket pump",
        "category": "Road kit",
        "summary": "Two hundred strokes from the roadside to the café.",
        "description": (
            "A pump you will carry, because you will not notice it. The hose unscrews from inside "
            "the barrel and saves your valve from your haste; the handle folds out into something "
            "a hand can really hold."
        ),
        "facts": [
            ["Length", "186 mm"],
            ["Up to", "7 bar"],
            ["Valves", "Presta and Schrader"],
            ["Weight", "98 g"],
        ],
        "price": 3600,
        "stock": 37,
        "art": "pump",
    },
]


def open_shop(apps, schema_editor):
    product = apps.get_model("catalog", "Product")
    product.objects.using(schema_editor.connection.alias).bulk_create(
        product(position=position, **values) for position, values in enumerate(PRODUCTS, start=1)
    )


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    operations = [migrations.RunPython(open_shop, migrations.RunPython.noop)]
