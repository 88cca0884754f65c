"""Checks of the written site: what is in its pages, and how a browser shows them.

    pages.py     headings in order, words for pictures, links that lead somewhere; needs no browser
    browser.py   search from file:, pages without JavaScript and on a telephone, and screenshots

`make docs-check` runs both; the second part needs chromium.
"""
