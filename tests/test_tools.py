"""The tools that write and check what is generated."""
import base64

import pytest
import readme
import unchanged

dot = base64.b64encode(b'\x89PNG a picture').decode()


def md(source: str) -> dict:
    "A markdown cell"
    return {'cell_type': 'markdown', 'source': source.splitlines(True)}


def py(source: str, *outputs: dict) -> dict:
    "A code cell"
    return {'cell_type': 'code', 'source': source, 'outputs': list(outputs)}


def value(text: str, kind: str = 'text/plain', **more: str) -> dict:
    "What the last expression of a cell gave"
    return {'output_type': 'execute_result', 'data': {kind: [text], **more}}


def printed(*lines: str) -> dict:
    "What a cell printed"
    return {'output_type': 'stream', 'name': 'stdout', 'text': list(lines)}


first = md('# Title\n\n> What it is')


def body(*cells: dict) -> str:
    "What follows title, warning and description"
    text, _ = readme.convert([first, *cells])
    head = f'# Title\n\n{readme.front.warning}\n\nWhat it is\n'
    assert text.startswith(head)
    return text[len(head):].strip('\n')


def test_source_is_fenced_and_what_it_gave_is_indented():
    assert body(py('1 + 1', value('2'))) == '``` python\n1 + 1\n```\n\n    2'
    assert body(py('f()', printed('a\n', '\n', 'b\n'))) == '``` python\nf()\n```\n\n    a\n\n    b'


@pytest.mark.parametrize('directive', ['hide', 'export', 'exporti', 'default_exp core', 'include: false'])
def test_cells_that_nbdev_leaves_out_are_left_out(directive):
    assert body(py(f'#| {directive}\nx', printed('y\n'))) == ''


def test_directives_choose_what_is_shown_and_are_not_shown_themselves():
    assert body(py('#| echo: false\nx', printed('y\n'))) == '    y'
    assert body(py('#| output: false\nx', printed('y\n'))) == '``` python\nx\n```'
    assert body(py('#|eval: false\n#| exports\nx', printed('y\n'))) == '``` python\nx\n```'
    assert body(py('#| echo: false\n#| output: asis\nx', printed('*y*\n'))) == '*y*'
    assert body(py('a\nb #| hide_line\nc')) == '``` python\na\nc\n```'
    assert body(py('#| filter_stream Warn\nx', printed('Warn\n', 'y\n'))) == '``` python\nx\n```\n\n    y'


def test_magics_are_left_out_and_other_languages_named():
    assert body(py('%matplotlib inline\nx')) == '``` python\nx\n```'
    assert body(py('%%bash\nls', printed('a\n'))) == '``` bash\nls\n```\n\n    a'


def test_pictures_become_files_with_their_words():
    cells = [first, py('#| echo: false\n#| fig-alt: "a dot"\nx', value(dot, 'image/png', **{'text/plain': '<Figure>'})),
             py('y', value('<svg/>', 'image/svg+xml'))]
    text, files = readme.convert(cells)
    assert '![a dot](README_files/figure-1.png)' in text and '![](README_files/figure-2.svg)' in text
    assert '<Figure>' not in text
    assert files == {'figure-1.png': b'\x89PNG a picture', 'figure-2.svg': b'<svg/>'}


def test_links_lead_from_the_root_of_the_repository():
    for before, after in [('10_rnn.ipynb', 'nbs/10_rnn.ipynb'), ('../LICENSE', 'LICENSE'), ('#here', '#here'),
                          ('https://a.b/c', 'https://a.b/c'), ('a.png', 'nbs/a.png')]:
        assert body(md(f'see [this]({before}).')) == f'see [this]({after}).'
    assert body(md('```\n[kept](x.ipynb)\n```')) == '```\n[kept](x.ipynb)\n```'


def test_callouts_become_alerts_and_other_divs_are_unwrapped():
    assert body(md('::: {.callout-tip}\nfirst\n\nsecond\n:::\nafter')) == '> [!TIP]\n> first\n>\n> second\nafter'
    assert body(md(':::: {.columns}\ntext\n::::')) == 'text'


def test_a_notebook_that_cannot_be_a_readme_is_refused():
    with pytest.raises(SystemExit, match='first cell'): readme.convert([md('# Title\n\n> one\n\ntwo')])
    error = {'output_type': 'error', 'ename': 'ValueError', 'evalue': 'no'}
    with pytest.raises(SystemExit, match='ValueError: no'): readme.convert([first, py('x', error)])


def test_differences_are_seen(tmp_path):
    page = readme.Page(tmp_path/'a.ipynb', tmp_path/'README.md', tmp_path/'README_files')
    readme.write('one\n', {'a.png': b'1', 'b.png': b'2'}, page)
    assert readme.differences('one\n', {'a.png': b'1', 'b.png': b'2'}, page) == []
    assert '+two' in readme.differences('two\n', {'a.png': b'1', 'b.png': b'2'}, page)
    wrong = ['README_files/a.png differs', 'README_files/b.png differs']
    assert readme.differences('one\n', {'a.png': b'9'}, page) == wrong
    readme.write('one\n', {}, page)
    assert readme.differences('one\n', {}, page) == [] and not page.pictures.exists()


def test_each_file_names_its_notebook():
    text, files = readme.convert([first, md('More')], readme.contributing)
    assert 'The source is nbs/contributing.ipynb.' in text and text.endswith('More\n') and not files


def test_changed_missing_and_new_files_are_reported(capsys):
    before, after = {'a': b'1', 'b': b'2', 'c': b'3'}, {'a': b'1', 'b': b'x', 'd': b'4'}
    assert unchanged.report('export', before, after) == 3
    assert unchanged.report('export', before, before) == 0
