"""The pages for people: rendered here, from what the operator API shows as well; live without a reload.

`pages` renders a template, `routes` lists every page, `live` tells browsers what changed. Each module beside
them is one area of the navigation, with templates of the same name. A page shows what `operator_api` shows
and changes what `fleet` can change: no page knows anything that a program could not ask for.
"""
