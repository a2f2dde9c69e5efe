"""Terms and the text they become."""

from __future__ import annotations

from netproof.exact.smt.terms import Op, Terms, signed


def test_the_same_term_is_made_once():
    terms = Terms()
    x, y = terms.variable("x", 4), terms.variable("y", 4)
    assert terms.add(x, y) == terms.add(y, x)
    assert terms.subtract(x, y) != terms.subtract(y, x)
    assert terms.numeral(3, 4) == terms.numeral(19, 4) != terms.numeral(3, 5)


def test_without_sharing_every_term_is_its_own():
    terms = Terms(share=False)
    x, y = terms.variable("x", 4), terms.variable("y", 4)
    assert terms.add(x, y) != terms.add(x, y)


def test_operands_come_first():
    terms = Terms()
    x = terms.variable("x", 4)
    for _ in range(3):
        x = terms.add(x, terms.numeral(1, 4))
    assert all(o < n for n in range(len(terms)) for o in terms[n].operands)


def test_constants_are_folded():
    terms = Terms()
    x, p = terms.variable("x", 4), terms.variable("p", 0)
    assert terms.conjunction([]) == terms.true and terms.disjunction([]) == terms.false
    assert terms.conjunction([p, terms.true, p]) == p
    assert terms.conjunction([p, terms.false]) == terms.false
    assert terms.disjunction([p, terms.true]) == terms.true
    assert terms.negation(terms.true) == terms.false
    assert terms.ite(terms.true, x, terms.numeral(0, 4)) == x == terms.ite(p, x, x)
    assert terms.ite(terms.false, terms.numeral(0, 4), x) == x
    assert terms.extract(x, 3, 0) == x == terms.sign_extend(x, 0) == terms.zero_extend(x, 0)
    assert terms.sign_extend(terms.numeral(9, 4), 2) == terms.numeral(57, 6)
    assert terms.zero_extend(terms.numeral(9, 4), 2) == terms.numeral(9, 6)
    assert terms.extract(terms.numeral(13, 4), 3, 2) == terms.numeral(3, 2)


def test_widths():
    terms = Terms()
    x, y = terms.variable("x", 4), terms.variable("y", 3)
    assert terms.width(terms.concat(x, y)) == 7
    assert terms.width(terms.extract(x, 2, 1)) == 2
    assert terms.width(terms.sign_extend(y, 5)) == 8
    assert terms.width(terms.signed_le(x, x)) == 0
    assert terms[terms.signed_le(x, x)].op is Op.SIGNED_LE


def test_two_complement():
    assert [signed(v, 3) for v in range(8)] == [0, 1, 2, 3, -4, -3, -2, -1]
    assert [signed(v, 1) for v in range(2)] == [0, -1]
