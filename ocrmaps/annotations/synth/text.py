"""What is written on an invented receipt: rows of words at places across the paper, without a pixel yet.

Positions are shares of the text width: a piece at 0 starts at the left edge, at 1 it ends at the right edge.
"""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

import numpy as np

Mark = Literal["rule", "dashes", "barcode", "logo", "gap"]
"""What a row without text shows; all but `gap` are distractors."""


class Piece(NamedTuple):
    """Words that are read as one line: one box at line level."""

    text: str
    at: float = 0.0
    """Share of the text width at which the piece is held: its left end at 0, its middle at 0.5, its right end at 1."""


class Row(NamedTuple):
    """One row of the receipt: text, or a mark."""

    pieces: tuple[Piece, ...] = ()
    size: float = 1.0
    """Letter height relative to the body text."""
    bold: bool = False
    mark: Mark | None = None


_SHOPS = (
    "CORNER GROCERY", "Café Léonie", "BAKERY MÜLLER", "NORTH PHARMACY", "HARBOUR FISH & GRILL", "MINI MARKET 24",
    "GREEN LEAF TEA", "Papelería Muñoz", "HARDWARE DEPOT", "CITY FUEL STATION", "NOODLE HOUSE", "BOOKS & MORE",
    "SUNRISE KITCHEN", "Brasserie du Pont", "PET CORNER", "OFFICE POINT", "LUCKY STORE", "FLOWERS BY ANNA",
)  # fmt: skip
_KIND = ("LTD", "ENTERPRISE", "TRADING", "& SONS", "GMBH", "INC.", "RESTAURANT", "SUPERMARKET", "CO.")
_STREETS = (
    "MAIN STREET", "Rue de l'Église", "STATION ROAD", "Hauptstraße", "HARBOUR LANE", "MARKET SQUARE",
    "Calle Mayor", "GARDEN AVENUE", "OLD MILL ROAD", "Industrial Park", "Lake View Drive", "KING'S COURT",
)  # fmt: skip
_TOWNS = ("SPRINGFIELD", "Lindau", "PORT HAVEN", "Saint-Malo", "WESTBROOK", "Cádiz", "EAST HILL", "Riverton")
_ADJECTIVES = (
    "FRESH", "ORGANIC", "LARGE", "Small", "FROZEN", "Classic", "EXTRA", "DARK", "White", "SWEET", "Crème", "HOT",
    "GRILLED", "Double", "LIGHT", "SPICY", "Plain", "RED",
)  # fmt: skip
_GOODS = (
    "MILK", "BREAD", "Coffee", "TEA", "RICE", "APPLE JUICE", "Butter", "CHICKEN WINGS", "NOODLES", "Purée",
    "SOAP", "PAPER A4", "Notebook", "SCREWS M6", "PAINT BRUSH", "LED LAMP", "Batteries AA", "WATER 1.5L", "SALAD",
    "Eggs 12 PCS", "CHOCOLATE", "YOGURT", "Olive Oil", "FISH BALL SOUP", "PIZZA", "Shampoo", "TOWEL", "USB CABLE",
    "BANANA", "Tomato", "CHEESE", "Croissant", "MUSHROOM", "PLASTIC BAG", "Envelope", "TAPE 24MM",
)  # fmt: skip
_THANKS = (
    "THANK YOU, PLEASE COME AGAIN", "Thank you for your visit!", "**HAVE A NICE DAY**", "Merci et à bientôt",
    "GOODS SOLD ARE NOT RETURNABLE", "Keep this receipt as proof of purchase", "Exchange within 7 days",
    "ALL PRICES INCLUDE TAX", "Follow us: www.example.com", "Vielen Dank für Ihren Einkauf", "CUSTOMER COPY",
)  # fmt: skip
_NAMES = ("ANNA", "Kim", "LEE", "Maria", "ADMIN", "CASHIER 02", "Paul", "MANAGER")
_UNACCENTED = {"€": "EUR", "£": "GBP", "ß": "ss"}


def plain(text: str) -> str:
    """The text in ASCII letters, for fonts that have no others.

    >>> plain("Café 5 €")
    'Cafe 5 EUR'
    """
    text = "".join(_UNACCENTED.get(letter, letter) for letter in text)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def write_rows(rng: np.random.Generator, lines: int, *, wide: bool, distractors: float) -> list[Row]:
    """At least one and about `lines` rows of text and the marks between them, from shop name to farewell.

    `wide` papers have more columns; `distractors` is the chance of each possible mark.
    """
    writer = _Writer(rng, wide=wide, distractors=distractors)
    writer.head(max(1, lines // 5))
    writer.register(lines // 6)
    writer.items(max(1, lines // 3))
    writer.totals(lines // 5)
    writer.farewell(lines - sum(bool(row.pieces) for row in writer.rows))
    return writer.rows


class _Writer:
    """Appends the parts of one receipt in order; everything random comes from the one generator."""

    def __init__(self, rng: np.random.Generator, *, wide: bool, distractors: float) -> None:
        self.rng = rng
        self.wide = wide
        self.distractors = distractors
        self.rows: list[Row] = []
        self.currency = self.pick(("", "", "$", "€", "£", "RM "))
        self.gap = float(rng.uniform(0.1, 0.5))

    def pick(self, words: tuple[str, ...]) -> str:
        return words[int(self.rng.integers(len(words)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def number(self, digits: int) -> str:
        return "".join(str(d) for d in self.rng.integers(0, 10, size=digits))

    def price(self, most: float = 100.0) -> str:
        return f"{float(self.rng.uniform(0.05, 1.0)) ** 2 * most:,.2f}"

    def date(self) -> str:
        day, month, year = (int(self.rng.integers(*span)) for span in ((1, 29), (1, 13), (2012, 2031)))
        return self.pick((f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year % 100}"))

    def time(self) -> str:
        return f"{int(self.rng.integers(7, 23)):02}:{int(self.rng.integers(60)):02}"

    def text(self, *pieces: Piece, size: float = 1.0, bold: bool = False) -> None:
        self.rows.append(Row(pieces=pieces, size=size, bold=bold))

    def mark(self, mark: Mark) -> None:
        self.rows.append(Row(mark=mark))

    def separator(self) -> None:
        """A gap, with a line in it where distractors are wanted."""
        if self.chance(self.distractors):
            self.mark("dashes" if self.chance(0.6) else "rule")
        elif self.chance(self.gap):
            self.mark("gap")

    def head(self, lines: int) -> None:
        at = 0.0 if self.chance(0.2) else 0.5
        if self.chance(0.5 * self.distractors):
            self.mark("logo")
        name = self.pick(_SHOPS)
        self.text(Piece(name, at), size=float(self.rng.uniform(1.2, 2.2)), bold=self.chance(0.6))
        spare = [
            f"{name.split()[0]} {self.pick(_KIND)} ({self.number(7)}-{self.pick(tuple('ADKPTX'))})",
            f"NO. {int(self.rng.integers(1, 300))}, {self.pick(_STREETS)},",
            f"{self.number(5)} {self.pick(_TOWNS)}",
            f"TEL: {self.number(2)}-{self.number(4)} {self.number(4)}",
            f"TAX ID: {self.number(12)}",
            f"Unit {self.number(2)}, Level {int(self.rng.integers(1, 9))}",
            f"email: info@{plain(name.split()[0]).lower()}.example",
        ]
        for i in range(lines - 1):
            self.text(Piece(spare[i % len(spare)], at))
        self.separator()

    def register(self, lines: int) -> None:
        for i in range(lines):
            kind = (i + int(self.rng.integers(2))) % 5
            if kind == 0:
                self.text(Piece(f"DATE: {self.date()}"), Piece(self.time(), 1.0))
            elif kind == 1:
                self.text(Piece("Invoice No:"), Piece(f"{self.pick(('CS', 'INV-', 'T'))}{self.number(6)}", 0.36))
            elif kind == 2:
                self.text(Piece(f"Cashier: {self.pick(_NAMES)}"), Piece(f"POS {self.number(2)}", 1.0))
            elif kind == 3:
                self.text(Piece(self.pick(("TAX INVOICE", "RECEIPT", "SALES SLIP")), 0.5), bold=True, size=1.15)
            else:
                self.text(Piece(f"Table {int(self.rng.integers(1, 60))}"), Piece(f"Order #{self.number(4)}", 1.0))
        self.separator()

    def items(self, lines: int) -> None:
        columns = self.wide or self.chance(0.3)
        done = 0
        if lines > 3 and self.chance(0.7):
            header = (Piece("Item"), Piece("Qty", 0.6), Piece("Price", 0.78)) if columns else (Piece("Description"),)
            self.text(*header, Piece("Amount", 1.0), bold=self.chance(0.5))
            self.separator()
            done = 1
        while done < lines:
            name = f"{self.pick(_ADJECTIVES)} {self.pick(_GOODS)}" if self.chance(0.7) else self.pick(_GOODS)
            count = int(self.rng.integers(1, 12))
            if columns:
                middle = (Piece(str(count), 0.6), Piece(self.price(30), 0.78))
                self.text(Piece(name), *middle, Piece(self.price(), 1.0))
            elif lines - done > 1 and self.chance(0.4):
                code = f"{self.number(7)} " if self.chance(0.4) else ""
                self.text(Piece(f"{code}{name}"))
                self.text(Piece(f"{count} X {self.price(30)}", 0.12), Piece(self.price(), 1.0))
                done += 1
            else:
                self.text(Piece(f"{count} {name}" if self.chance(0.3) else name), Piece(self.price(), 1.0))
            done += 1
        self.separator()

    def totals(self, lines: int) -> None:
        names = ("SUBTOTAL", "Discount", "TAX 6%", "Rounding", "TOTAL", "CASH", "CHANGE", "Total Qty", "VISA ****1234")
        start = max(0, 4 - lines + 1) if lines < 5 else 0
        indent = 0.0 if self.chance(0.6) else 0.45
        for i in range(lines):
            name = names[(start + i) % len(names)]
            big = name == "TOTAL"
            size = float(self.rng.uniform(1.0, 1.7)) if big else 1.0
            price = Piece(f"{self.currency if big else ''}{self.price(400)}", 1.0)
            self.text(Piece(f"{name}:" if self.chance(0.3) else name, indent), price, size=size, bold=big)
            if big:
                self.separator()

    def farewell(self, lines: int) -> None:
        if lines < 1:
            return
        self.separator()
        if self.chance(0.6 * self.distractors):
            self.mark("barcode")
            self.text(Piece(f"{self.number(1)} {self.number(6)} {self.number(6)}", 0.5))
            lines -= 1
        start = int(self.rng.integers(len(_THANKS)))
        for i in range(lines):
            self.text(Piece(_THANKS[(start + i) % len(_THANKS)], 0.5))
