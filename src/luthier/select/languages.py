"""Which texts may be compared: code, a script other than Latin, or one of the languages that are written in Latin letters.

Every group needs evidence of its own (marks of code, letters of the script, function words). What has none, as noise has none, is left
unclaimed instead of being given to the likeliest language: noise must not become a group in which noise is normal.
"""

from __future__ import annotations

UNCLAIMED = ""

_LOOK, _LOOK_FOR_WORDS = 1024, 320  # bytes from the start of a text
_FEWEST_WORDS, _WORD_SHARE = 2, 0.08  # function words of a language; running text has a share of 0.3 to 0.5
_SCRIPT_SHARE = 0.3  # of the letters; names and code in Latin letters stand in any text
_BRACKET_SHARE = 1 / 24  # of the bytes; counted first, as it is cheap and rules most texts out
_CODE_SHARE = 1 / 64  # marks a byte

_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"(){}[]<>=;/")

_CODE_MARKS = (b"()", b");", b"):", b"{\n", b"};", b" = ", b"==", b"->", b"=>", b"</", b'="', b"//", b"\n    ", b"\n\t")

# Frequent words that few of the other languages have.
_WORDS = {
    "English": "the of and to is that it you for with this are was have from by be what how which an my your he she they not will can",
    "Spanish": "el los las una del y más pero sus muy está este qué",
    "French": "le les des et est une dans pour qui pas sur au avec ce vous nous sont",
    "German": "der die das und ist nicht ein eine mit zu den von für auf sie ich wie im",
    "Italian": "il che di non per sono della gli più è nel questo",
    "Portuguese": "não uma os da em com um mais você são dos pelo ao foi",
    "Dutch": "het een van niet dat voor op aan zijn met ook wordt deze naar",
    "Nordic": "och att det är som på inte ett jag og ikke til af",
    "Polish": "nie się jest że jak dla oraz przez tym",
    "Romanian": "și să nu este care pentru din",
    "Turkish": "bir ve bu için ile olarak daha çok değil gibi",
    "Indonesian": "yang dan untuk dengan ini tidak dari pada adalah itu akan dalam",
    "Vietnamese": "là và của các có không được một cho trong những người",
    "Finnish": "ja ei että oli mutta joka hän tai kun",
    "Hungarian": "az és hogy nem egy meg csak",
}
_LANGUAGE_OF = {word.encode(): language for language, words in _WORDS.items() for word in words.split()}

# First bytes of UTF-8 letters, by script. E1 and E2 begin letters of many scripts, and marks.
_SCRIPTS = {
    "Latin": (*range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xC3, 0xC6)),
    "Greek": (0xCE, 0xCF),
    "Cyrillic": range(0xD0, 0xD4),
    "Hebrew": (0xD6, 0xD7),
    "Arabic": range(0xD8, 0xDC),
    "Indic and Thai": (0xE0,),
    "Kana": (0xE3,),
    "Han": range(0xE4, 0xEA),
    "Hangul": range(0xEA, 0xEE),
}
_SCRIPT_TABLE = bytes(next((number for number, firsts in enumerate(_SCRIPTS.values(), 1) if byte in firsts), 0) for byte in range(256))


def language_group(text: bytes) -> str:
    """The language in Latin script, the script otherwise, or "Code"; UNCLAIMED without evidence. text: UTF-8, any bytes are taken."""
    head = text[:_LOOK]
    brackets = len(head.translate(None, _NO_BRACKETS))
    if brackets > _BRACKET_SHARE * len(head) and sum(map(head.count, _CODE_MARKS)) > _CODE_SHARE * len(head):
        return "Code"
    if not head.isascii():
        script = _script(head)
        if script != "Latin":
            return script
    words = head[:_LOOK_FOR_WORDS].lower().split()
    claims = [language for language in map(_LANGUAGE_OF.get, words) if language]
    if not claims:
        return UNCLAIMED
    language = max(dict.fromkeys(claims), key=claims.count)
    return language if claims.count(language) >= max(_FEWEST_WORDS, _WORD_SHARE * len(words)) else UNCLAIMED


def _script(text: bytes) -> str:
    """The script other than Latin with most letters, if it has its share of them; else Latin."""
    tagged = text.translate(_SCRIPT_TABLE)
    letters = {script: tagged.count(number) for number, script in enumerate(_SCRIPTS, 1)}
    total = sum(letters.values())
    kana, han = letters.pop("Kana"), letters.pop("Han")
    letters["Japanese" if kana > 0.1 * han else "Chinese"] = kana + han
    del letters["Latin"]
    script = max(letters, key=letters.__getitem__)
    return script if letters[script] > _SCRIPT_SHARE * total else "Latin"
