"""What a parameter means, by the split words of its name and by its description: `meaning_of("firstName", "Given name.")` is `first_name`.

Values of a meaning are drawn by `meaning_values`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from luthier.synthesize.tools.importers.wording import snake_case

_PEOPLE = "|".join(
    """
    guest customer user patient employee driver contact member author owner person passenger party debtor creditor claimant student
    client teacher doctor recipient tenant buyer seller agent staff attendee worker technician rider applicant candidate borrower
    reader player child parent holder veterinarian vet nurse farmer artist speaker trainer instructor coach pilot chef cook lawyer
    attorney judge manager supervisor performer musician singer photographer inspector surveyor mechanic installer cleaner visitor
    subscriber donor volunteer keeper breeder supporter resident landlord defendant plaintiff witness physician dentist therapist
    surgeon accountant broker electrician plumber actor actress director producer writer composer poet painter sculptor illustrator
    translator lyricist songwriter novelist playwright architect cinematographer creator organiser organizer colleague friend spouse husband
    wife mother father guardian caregiver carer approver requester reviewer signatory signer cardholder payer mentor mentee tutor
    professor lecturer scientist inventor celebrity athlete referee captain officer detective suspect victim heir trustee midwife carpenter
    roofer gardener babysitter nanny interpreter politician president senator minister mayor
    """.split()  # noqa: SIM905
)


_CODE = re.compile(r"\b(git|github|gitlab|repo|repos|repository|pull requests?|merge requests?)\b")
_OF_CODE = {
    "owner": "username",
    "head": "branch",
    "base": "branch",
    "branch": "branch",
    "ref": "branch",
    "author": "username",
    "assignee": "username",
}
_OF_CODE |= {"revision": "commit", "sha": "commit", "target": "branch"}
_OF_CODE |= {"assignees": "username", "reviewers": "username", "path": "path", "file": "path", "files": "path"}
_FILES = re.compile(r"(?<=\s)(files|a file|the file|director(y|ies)|folders?)\b")
_MAIL = re.compile(r"\b(e ?mails?|mails?|letters?|messages?|newsletters?|tickets?|invit(e|ation)s?)\b")
_FIELD = re.compile(r"\babout\b|\b(topic|field|area|discipline|theme)\b")
_TAUGHT = re.compile(
    r"\b(books?|courses?|lessons?|class|classes|exams?|teachers?|tutors?|library|articles?|papers?|lectures?|studies|students?)\b"
)


_ENDS = ("from", "to", "source", "target")
_DAYS = re.compile(r"\b(dates?|days?|time|when|from when|until|period)\b")
_RENTED = re.compile(r"\b(apartment|building|flats?|tenants?|leas\w+|property|properties|resident\w*|rent\w*|storage|room)\b")
_PHONE_OR_MAIL = re.compile(r"\b(phone number|e-?mail(?: address)?) or (an? |the |your )?(phone(?: number)?|e-?mail(?: address)?)\b")
# What stands at both ends of an operation, by what it does.
_BETWEEN = (
    (re.compile(r"\b(currenc|exchange rate|convert (an? |some |the )?(amount|money|sum|price))"), "currency"),
    (re.compile(r"\btranslat"), "language"),
    (re.compile(r"\b(convert|unit|measure)"), "unit"),
    (
        re.compile(
            r"\b(route|trip|travel|journey|ride|drive|distance|direction|flight|train|bus|ferry|connection|itinerary|ship|deliver|commute|walk)"
        ),
        "city",
    ),
)


def _between(text: str) -> str:
    """What an operation goes from and to; "" where that is not known."""
    return next((meaning for pattern, meaning in _BETWEEN if pattern.search(text)), "")


@lru_cache(maxsize=65536)
def meaning_of(name: str, description: str = "", owner: str = "") -> str:
    """The meaning of a parameter, "" where nothing tells. owner: what it is a part of, "guest" for a guest's `name`."""
    words = words_of(name)
    told = description.lower()
    for pattern, meaning in _TOLD:
        if re.search(pattern, told):
            return meaning
    if found := _in_company(words, told, owner):
        return found
    for pattern, meaning in _NAMES:
        if re.search(pattern, words):
            return "past_date" if meaning == "birth_date" and _ANIMALS.search(f"{told} {owner}") else meaning
    if (named := _NAME_OF.match(told)) and (meaning := _bearer(named[1])):
        return meaning
    for pattern, meaning in _NAMES:
        if meaning not in ("code", "word") and len(told.split()) <= 4 and re.search(pattern, told.rstrip(".")):
            return meaning
    return ""


def _in_company(words: str, told: str, owner: str) -> str:
    """The meaning of words that mean one thing here and another there, by what they are a part of; "" where that tells nothing."""
    if words in ("name", "full name", "display name", "title"):
        return _named(told, owner, words)
    if words in _TELLING and re.search(
        r"\b(damages?|faults?|defects?|incidents?|issues?|problems?|complaints?|repairs?|maintenance|outage|bugs?)\b", owner
    ):
        return "problem"
    if words in ("text", "comment", "body", "content") and re.search(r"\b(review|rating|feedback)", owner):
        return "review"
    if words in _OF_CODE and _CODE.search(owner) and not re.search(r"\bbooks?|currenc", told):
        return _OF_CODE[words]
    if _FILES.search(owner) and words in ("path", "paths", "source", "destination", "from", "to", "file path", "old path", "new path"):
        return "path"
    if words in _ENDS and not _DAYS.search(told) and (between := _between(f"{owner} {told}")):
        return between
    if words.endswith("unit") and not _RENTED.search(f"{told} {owner}"):
        return "unit"
    if words in ("address", "contact") and (either := _PHONE_OR_MAIL.search(told)):
        return "phone" if either[3].startswith("phone") else "email"
    if words in ("family", "given") and not re.search(r"\bname|patient|person|guest|member", f"{told} {owner}"):
        return "group" if words == "family" else ""
    if "allerg" in owner and words in ("substance", "reaction"):
        return "allergy" if words == "substance" else words
    if words in ("subject", "subjects") and not _MAIL.search(f"{owner} {told}") and (_FIELD.search(told) or _TAUGHT.search(owner)):
        return "field"  # else it is the heading of a letter
    return ""


@lru_cache(maxsize=65536)
def words_of(name: str) -> str:
    """`bookingId`, `booking_id` and `filter[booking-id]` as "booking id"."""
    return re.sub(r"\s+", " ", snake_case(name).replace("_", " ")).strip() or name.lower()


_SAME = re.compile(r"(?i)(ss|us|is|news|series|species)$")
_SINGULARS = ((re.compile(r"(?i)(?<=\w\w)ies$"), "y"), (re.compile(r"(?i)(?<=ss|ch|sh|zz)es$|(?<=x)es$|s$"), ""))
_ODD = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "criteria": "criterion",
    "movies": "movie",
    "cookies": "cookie",
    "calories": "calorie",
    "ties": "tie",
}


def singular(words: str) -> str:
    """One of what the last word names: `witnesses` is `witness`, `categories` is `category`."""
    head, space, last = words.rpartition(" ")
    return head + space + (_ODD.get(last) or _one(last))


def _one(word: str) -> str:
    if _SAME.search(word):
        return word
    return next((pattern.sub(ending, word) for pattern, ending in _SINGULARS if pattern.search(word)), word)


# Whose or what's name it is, as descriptions and the words of tools say it.
_BEARERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b(?! (?:an?|the|all|your)\b)"), meaning)
    for pattern, meaning in (
        (rf"(?:{_PEOPLE})s?(?!-| resource)|people", "person"),
        (r"cards?|payees?|beneficiar(?:y|ies)|accounts?|bookings?|reservations?|appointments?", "person"),
        (r"compan(?:y|ies)|suppliers?|vendors?|organi[sz]ations?|employers?|firms?|merchants?|partners?|brands?", "company"),
        (r"products?|items?|articles?|parts?(?! of)|goods?", "product"),
        (r"pets?|animals?", "pet_name"),
        (r"cit(?:y|ies)|towns?|places?|locations?|venues?|destinations?", "city"),
        (r"books?|songs?|albums?|films?|movies?|tracks?", "book"),
        (r"dish(?:es)?|meals?|recipes?|menus?", "dish"),
        (r"files?|documents?|attachments?", "file"),
        (r"medicines?|medications?|drugs?", "medicine"),
        (r"teams?|groups?|folders?|lists?|projects?|channels?|rooms?|areas?|zones?|categor(?:y|ies)|resources?", "group"),
    )
)
_TITLED = ("book", "product", "dish", "file")  # what has a title of its own kind; a person's or a city's title is no name of theirs


_NAME_OF = re.compile(r"(?:the )?(?:full |legal |first and last )?names? of (?:the |an? |one |another |all |all the )?([a-z].*)")
_ANIMALS = re.compile(r"\b(?:animals?|pets?|livestock|herds?|dogs?|cats?|horses?|cows?|cattle|pupp(?:y|ies)|kittens?|foals?|birds?)\b")
# At the head of a tool's words these are what it does: "list pets".
_ALSO_VERBS = re.compile(r"(?:book|file|list|place|track|document|group) ")
_FOR_SOMEBODY = re.compile(r"(?:book|reserve|order|schedule|rent|hire|invite|buy|send)\b")


def _named(told: str, owner: str, words: str) -> str:
    """What a name is the name of: what the description speaks of first, else what the tool is about; where that does something for somebody, theirs."""
    if not (meaning := _bearer(told)):
        served = _FOR_SOMEBODY.match(owner) and _BEARERS[0][0].search(owner)
        meaning = "person" if served else _bearer(owner, 1 if _ALSO_VERBS.match(owner) else 0) or "group"
    return "title" if words == "title" and meaning not in _TITLED else meaning


def _bearer(text: str, first: int = 0) -> str:
    """The meaning of the first bearer of a name that a text speaks of, from a place on; "" where it speaks of none."""
    found = {match.start(): meaning for pattern, meaning in _BEARERS if (match := pattern.search(text, first))}
    return found[min(found)] if found else ""


_TELLING = frozenset(("description", "details", "text", "message", "summary", "note", "notes", "comment", "problem", "issue"))

# Clues in descriptions are strong ones: standards and forms that are named. The first that fits counts.
_TOLD: tuple[tuple[str, str], ...] = (
    (r"\bhh:mm\b(?!:ss)", "time"),
    (r"\byyyy-mm-dd\b(?!t)", "date"),
    (r"\bairline code|iata airline|carrier code", "airline_code"),
    (r"\biata\b|airport code", "airport"),
    (r"iso.?3166.*(alpha.?3|three.letter)|three.letter country", "country3"),
    (r"iso.?3166|(two|2).letter country|country code", "country"),
    (r"^(the )?country name\b", "country_name"),
    (r"iso.?4217|currency code", "currency"),
    (r"iso.?639|language code", "language"),
    (r"\be\.?164\b", "phone"),
    (r"\bbcp.?47\b", "locale"),
    (r"iana time ?zone|tz database|olson", "timezone"),
    (r"iso week", "week"),
    (r"flight number", "flight"),
    (r"room number", "room"),
    (r"(licen[cs]e|number|registration) plate", "plate"),
    (r"\bisbn\b", "isbn"),
    (r"\biban\b", "iban"),
    (r"\bunix (time|epoch)|epoch (seconds|time)|seconds since", "epoch"),
    (r"\bhex(adecimal)? colou?r|colou?r in hex", "hex_colour"),
    (r"mime type|media type", "mime"),
    (r"^e-?mail( address)?\b", "email"),
    (r"^why\b", "reason"),
    (r"^whom?\b", "person"),
    (r"^(the )?initials\b", "initials"),
    (
        r"^(what (was|is|has been|will be|needs to be|should be) (done|said|told|written)|what happened|free text|in your own words|explain)",
        "note",
    ),
    (r"\blost\b|left behind", "lost"),
)
# Clues in names, the narrow ones first.
_NAMES: tuple[tuple[str, str], ...] = (
    (r"\b(first|given) ?names?$|^forename|^given$", "first_name"),
    (r"\b(last|family) ?name$|^surname|^family$", "last_name"),
    (r"\b(user ?name|login|handle|nickname)$", "username"),
    (r"\be ?mails?( address(es)?)?$|^(to|cc|bcc|reply to)$", "email"),
    (r"\b(phone|mobile|telephone|fax|cell)( number)?s?$|\b(callback|call back) (phone|number)$|^(tel|msisdn)$", "phone"),
    (r"\brelationship$|^relation$", "relation"),
    (r"^(repo|repository)( name)?s?$", "repository"),
    (r"\b(branch name|head branch|base branch)$|^(head|base) ref$", "branch"),
    (r"\bcommit( (id|sha|hash))?$", "commit"),
    (
        r"\b(repo|repository|root|project|working|base|output|target|source|parent) (path|dir|directory|folder)$|^(directory|dir|cwd|working directory)$",
        "folder",
    ),
    (r"\b(birth ?(date|day)|date of birth|dob|born( on)?)$", "birth_date"),
    (r"\b(time ?zone|tz)$", "timezone"),
    (
        r"\b(check ?out|(end|until|through|to|return|expir\w*|due|last|valid until|closing|dropoff|drop off|finish|leaving)( (date|day|on))?)$",
        "end_date",
    ),
    (
        r"\b(employed|hired|joined|issued|purchased|bought|founded|acquired|manufactured|worked|member|built|installed|moved in)( (since|on|at|date))?$",
        "past_date",
    ),
    (r"\b(check ?in|(start|from|since|begin|arrival|pick ?up|departure|first|valid from|opening|depart)( (date|day|on))?)$", "start_date"),
    (r"\b(date|day|on|deadline)$", "date"),
    (r"\b(date ?time|timestamp|at|when)$", "moment"),
    (r"\b(time|hour of day)$", "time"),
    (r"\bweek$", "week"),
    (r"\bmonth$", "month"),
    (r"\byear$", "year"),
    (r"\b(weekday|day of week)s?$", "weekday"),
    (r"\b(airline|carrier) code$", "airline_code"),
    (r"\bairlines?$", "airline"),
    (r"\b(airport|origin airport|destination airport|iata)( code)?s?$", "airport"),
    (r"\b(flight)( (number|no|code))?$", "flight"),
    (r"\bcurrenc(y|ies)( code)?$", "currency"),
    (r"\bcountry name$", "country_name"),
    (r"\b(countr(y|ies)( code)?|nationality)$", "country"),
    (r"\blocale$", "locale"),
    (r"\b(language|lang)s?( code)?$|^speaks?$|\bmother tongue$", "language"),
    (r"\b(skill|strength|competenc[ey]|expertise|qualification|certification)s?$", "skill"),
    (r"\b(state|province|region|county|district)$", "region"),
    (r"\b(city|town|municipality|locality|cities|location|place|origin|destination|from city|to city)s?$", "city"),
    (r"\b(zip|postal|post)( ?code)?$|^postcode$|\bpincode$", "postcode"),
    (r"\b(street|address line|line) ?[12]?$", "street"),
    (r"\b(house|street|building) (number|no)$", "house_number"),
    (r"\baddress$", "address"),
    (r"\b(coordinates|coords|lat ?lon|lat ?lng|geo point|gps)$", "coordinates"),
    (r"\b(latitude|lat)$", "latitude"),
    (r"\b(longitude|lon|lng|long)$", "longitude"),
    (r"\b(ip|ip address|ipv4)$", "ip"),
    (r"\b(url|uri|link|website|web ?hook|callback|callback url|endpoint|homepage)s?$", "url"),
    (r"\b(host|hostname|domain)$", "host"),
    (r"\b(vin|chassis number)$", "vin"),
    (r"\b(plate|licen[cs]e plate|registration( number)?)$", "plate"),
    (r"\bisbn$", "isbn"),
    (r"\b(ticker|stock symbol|symbol)$", "ticker"),
    (r"\b(licen[cs]e number|licen[cs]e no|driver licen[cs]e|passport( number)?)$", "licence"),
    (r"\biban$", "iban"),
    (r"\b(bic|swift)( code)?$", "bic"),
    (r"\b(ean|gtin|upc|barcode)$", "barcode"),
    (r"\b(password|secret|passphrase)$", "password"),
    (r"\b(tracking)( (number|code|id|no))?$", "tracking"),
    (r"\b(cursor|page token|next token|continuation( token)?|offset token)$", "cursor"),
    (r"\b(idempotency|request|correlation|dedup\w*) (key|id)$", "key"),
    (r"\barns?$", "arn"),
    (r"\b(version)$", "version"),
    (r"\b(colou?rs?)$", "colour"),
    (r"\bmaterials?$", "material"),
    (r"\b(brand|manufacturer)$", "brand"),
    (r"\b(car|vehicle)? ?(make|maker)$", "car_maker"),
    (r"\b(car|vehicle) model$", "car_model"),
    (r"\bfuel( type)?$", "fuel"),
    (r"\b(medication|medicine|drug|prescription)s?$", "medicine"),
    (r"\b(symptom|complaint)s?$", "symptom"),
    (r"\bdiagnos[ie]s$", "diagnosis"),
    (r"\b(allergy|allergies|allergens?|intolerances?)$", "allergy"),
    (r"\bspecial(i)?ty$|\bspeciali[sz]ation$", "speciality"),
    (r"\bspecies$", "species"),
    (r"\bbreeds?$", "breed"),
    (r"\bcuisines?$", "cuisine"),
    (r"\b(dish|dishes|meal|recipe)s?$", "dish"),
    (r"\bingredients?$", "ingredient"),
    (r"\bgenres?$", "genre"),
    (r"\b(book|film|movie|song|album|track)( title)?$", "book"),
    (r"\bdepartments?$", "department"),
    (r"\b(job title|job|occupation|position|profession|role)$", "job"),
    (r"\b(company|organi[sz]ation|employer|supplier|vendor|merchant|customer company)( name)?$", "company"),
    (r"\b(team)( name)?$", "team"),
    (
        rf"\b({_PEOPLE})('?s|s'|)( (full )?names?)?$|\b(assignee|sender|created by|assigned to|requested by|host name|by|attendees|participants|authors)$",
        "person",
    ),
    (r"\b(product|article|item)( name)?s?$", "product"),
    (r"\b(sku|article number|part number|item code|product code|model number|catalog(ue)? number)$", "sku"),
    (r"\b(categor(y|ies)|section)$", "category"),
    (r"\b(tag|label|keyword)s?$", "tag"),
    (r"\b(query|search|q|search term|keywords|topic|question|term|text query)$", "topic"),
    (r"\b(subject|headline|heading)$", "subject"),
    (r"\b(title|summary|name of task|task name)$", "title"),
    (r"\b(reason|cause|justification)s?$", "reason"),
    (r"\b(review|feedback|comment text|testimonial)$", "review"),
    (r"\b(note|notes|comment|comments|remark|remarks|special requests?|memo|annotation|narrative)$", "note"),
    (r"\b(message|body|text|content|sms|greeting|html|markdown|post)$", "message"),
    (r"\b(description|details|about|bio|info|observation|abstract)$", "description"),
    (r"\b(instruction|instructions|custom|task|todo|work|request|action)$", "instruction"),
    (r"\b(file ?name|file|path|attachment|document)s?$", "file"),
    (r"\b(mime ?type|content type)$", "mime"),
    (r"\b(room|suite|unit|flat|apartment|office|desk)( (number|no))?s?$", "room"),
    (r"\b(seat)( (number|no))?s?$", "seat"),
    (r"\b(gate|terminal|platform|bay|dock|aisle|shelf|locker)( (number|no))?$", "gate"),
    (r"\b(table)( (number|no))?$", "room"),
    (r"\b(units?( of measure)?|uom)$", "unit"),
    (r"\bsizes?$", "size"),
    (r"\b(sort|sort by|order by|sorted by)$", "sort"),
    (r"\b(order|direction|sort order|sort direction)$", "direction"),
    (r"\bevents?( types?)?$", "event"),
    (r"\b(plan|tier|package|subscription)$", "plan"),
    (r"\b(payment )?method$", "method"),
    (r"\b(carrier|courier|shipping company)$", "carrier"),
    (r"\bstatus(es)?$|\bstate$", "status"),
    (r"\b(voucher|coupon|promo|discount|gift card|promotion)( code)?$", "voucher"),
    (r"\b(group|list|folder|channel|project|collection|playlist|board|zone|area|warehouse|store|branch|site)( name)?$", "group"),
    (r"\b(id|ids|uid|guid|uuid|code|codes|number|numbers|no|ref|reference|key|token|identifier|arn|sku|hash|slug)$", "code"),
)
