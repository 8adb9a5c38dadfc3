"""The words that questions are made of: what captions name, how many, of what colour, where, and what is done to it."""


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "7": 7, "8": 8, "9": 9, "10": 10,
}  # fmt: skip
ONE = frozenset({"a", "an", "one", "the", "this", "that", "another", "his", "her", "its", "their", "lone", "single"})
MORE = frozenset({"several", "many", "some", "few", "group", "crowd", "team", "bunch", "lot", "lots", "pack", "line",
                  "other", "others", "both", "all", "each", "every", "various", "multiple", "couple", "pair", "row",
                  "family", "herd", "flock", "no"})  # fmt: skip
COLORS = {
    name: name
    for name in ("black", "white", "brown", "red", "blue", "green", "yellow", "orange", "pink", "purple", "gray", "tan")
} | {"grey": "gray", "golden": "gold", "gold": "gold", "silver": "silver", "beige": "tan", "maroon": "red"}

PEOPLE = _listed("""
man woman boy girl child person baby toddler lady guy kid adult player skateboarder skier snowboarder surfer biker
cyclist climber hiker rider swimmer runner skater wrestler dancer teenager soldier policeman cowboy bride groom couple
bicyclist motorcyclist goalie batter pitcher catcher chef waiter artist musician worker fireman tourist spectator
athlete male female friend gentleman fisherman singer performer jogger acrobat rollerblader racer
""")  # fmt: skip
GENDERS = {
    "man": "man",
    "guy": "man",
    "gentleman": "man",
    "boy": "boy",
    "woman": "woman",
    "lady": "woman",
    "girl": "girl",
}
ANIMALS = _listed("""
dog cat horse bird cow sheep elephant bear zebra giraffe puppy kitten goat duck pig lion tiger monkey rabbit fish
greyhound poodle bull camel deer lamb animal seagull butterfly turtle snake pony donkey
""")  # fmt: skip
THINGS = _listed("""
ball bike bicycle car bus train truck boat airplane motorcycle skateboard surfboard snowboard frisbee kite umbrella
bench chair table bed couch book guitar bat racket toy stick bottle cup glass plate bowl knife fork spoon pizza cake
sandwich banana apple carrot donut phone cellphone laptop computer keyboard mouse television clock vase toilet sink
oven microwave refrigerator camera flag sign balloon bag backpack suitcase purse microphone drum flower tree rope
bone sled kayak canoe raft scooter unicycle jeep wheelchair swing slide trampoline hurdle log branch ladder hose
bucket box basket hoop ring tire helmet shovel broom newspaper cigarette drink beer coffee food fence rail railing
ramp statue bubble wave sprinkler fountain rock wall pole tube cart tent window door tunnel candle lamp mirror
basketball football volleyball baseball disc cone paddle oar obstacle bar mat pillow blanket towel tray ski scissors
trick paper map card paintbrush snowball pumpkin cane leash net tractor van trunk handrail hydrant
""")  # fmt: skip
CLOTHES = _listed("""
shirt jacket hat dress coat helmet shorts pants jeans suit uniform cap sunglasses glasses goggles collar vest sweater
sweatshirt swimsuit bikini skirt scarf shoe boot glove costume tie jersey wetsuit outfit headband bandanna hoodie mask
t-shirt tshirt backpack apron kimono robe
""")  # fmt: skip
PLACES = _listed("""
beach snow grass water pool street field park ocean lake river road forest woods mountain city sand dirt ice sidewalk
room kitchen bathroom bedroom yard backyard court track stage hill trail desert restaurant building playground stream
pond path mud lawn shore dock bridge sky store shop street market gym stadium garden farm airport station subway
cliff rock ramp race parade tunnel puddle creek rapids bench bed couch table counter office zoo runway meadow
plaza skatepark driveway sea hillside mountainside pavement slope rink pier highway carpet floor
""")  # fmt: skip
SAME_PLACE = {
    "woods": "forest", "backyard": "yard", "creek": "stream", "pavement": "sidewalk", "store": "shop", "slope": "hill",
    "meadow": "field", "carpet": "floor", "lawn": "grass", "pier": "dock", "highway": "road",
    "shore": "beach", "sea": "ocean",
    "hillside": "hill", "mountainside": "mountain",
}  # fmt: skip
PARTS = frozenset({"hair", "face", "ear", "eye", "mouth", "tail", "nose", "leg", "paw", "hand", "head", "fur"})

IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "sheep": "sheep", "fish": "fish",
    "puppies": "puppy", "babies": "baby", "ladies": "lady", "leaves": "leaf", "skis": "ski", "kids": "kid",
    "policemen": "policeman", "firemen": "fireman", "fishermen": "fisherman", "gentlemen": "gentleman",
    "knives": "knife",
    "scarves": "scarf", "ponies": "pony", "butterflies": "butterfly", "deer": "deer",
}  # fmt: skip
ALWAYS_PLURAL = frozenset(
    {"shorts", "pants", "jeans", "sunglasses", "glasses", "goggles", "scissors", "woods", "rapids"}
)
MASS = frozenset({"food", "paper", "coffee", "beer", "hair", "fur", "clothing"})
OTHER_NAMES = {
    "bicycle": "bike", "cellphone": "phone", "tshirt": "shirt", "t-shirt": "shirt", "guy": "man", "lady": "woman",
    "kid": "child", "bicyclist": "cyclist", "grey": "gray", "disc": "frisbee", "gentleman": "man",
    "hoodie": "sweatshirt",
    "branch": "stick", "motorbike": "motorcycle", "plane": "airplane", "sofa": "couch", "tv": "television",
    "male": "man", "female": "woman", "railing": "rail", "handrail": "rail", "glass": "glass", "cabin": "house",
}  # fmt: skip

DOINGS = {  # what is asked by -ing, by the base form
    "hold": "holding", "ride": "riding", "carry": "carrying", "throw": "throwing", "catch": "catching",
    "chase": "chasing", "kick": "kicking", "eat": "eating", "drink": "drinking", "push": "pushing", "pull": "pulling",
    "swing": "swinging", "hit": "hitting", "read": "reading", "climb": "climbing", "jump": "jumping", "leap": "leaping",
    "sit": "sitting", "stand": "standing", "lie": "lying", "lay": "laying", "play": "playing", "look": "looking",
    "run": "running", "walk": "walking", "watch": "watching", "wear": "wearing", "use": "using", "bite": "biting",
    "fly": "flying", "drive": "driving", "hang": "hanging", "swim": "swimming", "slide": "sliding", "skate": "skating",
    "chew": "chewing", "fetch": "fetching", "hug": "hugging", "lean": "leaning", "rest": "resting",
    "paddle": "paddling",
    "retrieve": "retrieving", "cut": "cutting", "cook": "cooking", "feed": "feeding", "smoke": "smoking",
}  # fmt: skip
TRANSITIVE = _listed("""
hold ride carry throw catch chase kick eat drink push pull swing hit read climb watch wear use bite fly drive chew
fetch hug paddle retrieve cut cook feed smoke
""")  # fmt: skip
ASKED = {  # verbs and prepositions that ask for a thing together
    ("jump", "over"), ("leap", "over"), ("jump", "off"), ("sit", "on"), ("stand", "on"), ("lie", "on"), ("lay", "on"),
    ("play", "with"), ("look", "at"), ("run", "with"), ("climb", "on"), ("climb", "up"), ("climb", "over"),
    ("jump", "on"), ("swing", "on"), ("chew", "on"), ("hang", "from"), ("lean", "on"), ("lean", "against"),
    ("bite", "on"), ("stand", "by"), ("drink", "from"), ("walk", "over"), ("ride", "on"), ("ride", "in"),
    ("sit", "at"), ("sit", "in"), ("slide", "down"), ("jump", "through"), ("run", "through"), ("jump", "for"),
}  # fmt: skip
INSIDE = frozenset({"in", "on", "at", "through", "across", "along", "down", "into", "inside", "onto", "up"})
FUNCTION = _listed("""
in on at of with and while is are by to for from over through near into behind off out under beside next around along
across down up against between above below who that which as after during or but wearing has have being be was were
inside onto towards toward past outside among it he she they looks very two three four five his her its their together
outdoors nearby away upside atop the a an another where there then just so not also both all some
""")  # fmt: skip
EATEN = frozenset({"hot", "chili", "corn"})  # before "dog"
