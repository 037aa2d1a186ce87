#include "lang/lexer.h"

#include "core/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *text;
    bool continues;
} table[FUSE_TOKENS] = {
#define FUSE_TOKEN(name, text, continues) [FUSE_TOKEN_##name] = {text, continues},
#define FUSE_WORD(name, spelling) [FUSE_TOKEN_##name] = {"'" spelling "'", false},
#include "lang/token.def"
#undef FUSE_TOKEN
#undef FUSE_WORD
};

const char *fuse_token_text(enum fuse_token_kind kind) {
    return table[kind].text;
}

bool fuse_token_continues(enum fuse_token_kind kind) {
    return table[kind].continues;
}

bool fuse_token_is_reserved(enum fuse_token_kind kind) {
    return kind >= FUSE_TOKEN_TRUE;
}

void fuse_lexer_open(struct fuse_lexer *lexer, struct fuse_arena *arena, const char *text, size_t bytes) {
    *lexer = (struct fuse_lexer){.text = text, .bytes = (uint32_t)bytes, .arena = arena};
    lexer->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    /* Some editors write a byte order mark. */
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        lexer->at = lexer->line = 3;
}

void fuse_lexer_close(struct fuse_lexer *lexer) {
    if (lexer->locale)
        freelocale(lexer->locale);
    lexer->locale = (locale_t)0;
}

/* ---- bad tokens ----------------------------------------------------------------------------------------------- */

static void make_bad(struct fuse_lexer *lexer, struct fuse_token *token, uint32_t begin, uint32_t end,
                     const char *message, const char *hint) {
    token->kind = FUSE_TOKEN_BAD;
    lexer->message = message;
    lexer->hint = hint;
    lexer->problem_begin = begin;
    lexer->problem_end = end;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c) {
    return is_name_start(c) || is_digit(c);
}

bool fuse_find_no_text(uint32_t *begin, uint32_t *end, const char *text, uint32_t bytes) {
    for (uint32_t at = 0; at < bytes;) {
        uint32_t character, length = (uint32_t)fuse_utf8_decode(&character, text + at, bytes - at);
        if (length > 0 && character != 0) {
            at += length;
            continue;
        }
        *begin = at++;
        if (length == 0) /* the whole run of stray bytes */
            while (at < bytes && (text[at] & 0xC0) == 0x80)
                at++;
        *end = at;
        return true;
    }
    return false;
}

/* What is wrong with the character at `at`, whose length goes to *length: 0 for a good one. Everything but tabs and line
 * ends below U+0020 is a control character, and so are U+007F to U+009F. */
static const char *check_character(const struct fuse_lexer *lexer, uint32_t at, int *length) {
    uint32_t character;
    const char *text = lexer->text + at;
    *length = fuse_utf8_decode(&character, text, lexer->bytes - at);
    bool line_end = text[0] == '\r' && at + 1 < lexer->bytes && text[1] == '\n';
    if ((character < 0x20 && text[0] != '\t' && text[0] != '\n' && !line_end) ||
        (character >= 0x7F && character < 0xA0))
        return fuse_arena_printf(lexer->arena, "a control character (U+%04X)", (unsigned)character);
    return NULL;
}

static uint32_t end_of_line(const struct fuse_lexer *lexer, uint32_t at) {
    const char *newline = memchr(lexer->text + at, '\n', lexer->bytes - at);
    uint32_t end = newline ? (uint32_t)(newline - lexer->text) : lexer->bytes;
    return end > at && lexer->text[end - 1] == '\r' ? end - 1 : end;
}

/* Characters that word processors and other languages put where ours belong. */
static const char *hint_for_character(uint32_t character) {
    switch (character) {
    case '&': return "'&&' is the logical and";
    case '|': return "'||' is the logical or";
    case '^': return "'**' is the power";
    case '%': return "what is left of a division by n is x - n floor(x / n)";
    case '~': return "'!' is the logical not";
    case '\'': return "strings stand in double quotes; a prime follows the name of an index without a blank";
    case '\\': return "a line that ends in an operator or a comma goes on in the next one";
    case 0xA0: return "this is a no-break space; write a blank";
    case 0x2018:
    case 0x201C:
    case 0x201D: return "strings stand in straight double quotes: \"...\"";
    case 0x2212:
    case 0x2013: return "write '-'";
    case 0xB7:
    case 0xD7: return "write '*'";
    case 0x2192: return "write '->'";
    case 0x2260: return "write '!='";
    case 0x2264: return "write '<='";
    case 0x2265: return "write '>='";
    case 0x2032: return "a prime is the ASCII apostrophe: i'";
    default:
        return character < 0x80 ? "nothing is written with it; a comment begins with '#'"
                                : "names are made of ASCII letters, digits and '_'";
    }
}

static void lex_bad_character(struct fuse_lexer *lexer, struct fuse_token *token) {
    int length;
    const char *message = check_character(lexer, lexer->at, &length), *hint = "a program is UTF-8 text";
    if (!message) {
        uint32_t character = 0;
        fuse_utf8_decode(&character, lexer->text + lexer->at, lexer->bytes - lexer->at);
        message = fuse_arena_printf(lexer->arena, "unexpected character '%.*s'", length, lexer->text + lexer->at);
        hint = hint_for_character(character);
    }
    make_bad(lexer, token, lexer->at, lexer->at + (uint32_t)length, message, hint);
    lexer->at += (uint32_t)length;
}

/* ---- blanks and comments -------------------------------------------------------------------------------------- */

/* Returns false, with *token BAD and the line used up, at something in a comment that is not text. */
static bool skip_comment(struct fuse_lexer *lexer, struct fuse_token *token) {
    uint32_t end = end_of_line(lexer, lexer->at);
    for (uint32_t at = lexer->at; at < end;) {
        int length;
        const char *message = check_character(lexer, at, &length);
        if (message) {
            make_bad(lexer, token, at, at + (uint32_t)length, message, "a program is UTF-8 text");
            token->begin = lexer->at;
            lexer->at = end;
            return false;
        }
        at += (uint32_t)length;
    }
    lexer->at = end;
    return true;
}

static bool skip_blanks(struct fuse_lexer *lexer, struct fuse_token *token) {
    for (;;) {
        if (lexer->at == lexer->bytes)
            return true;
        const char *at = lexer->text + lexer->at;
        if (*at == '\n') {
            token->newline_before = true;
            lexer->line = ++lexer->at;
        } else if (*at == ' ' || *at == '\t' || (*at == '\r' && at[1] == '\n')) {
            lexer->at++;
        } else if (*at == '#') {
            if (!skip_comment(lexer, token))
                return false;
        } else {
            return true;
        }
    }
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static enum fuse_token_kind find_word(const char *name, size_t bytes) {
#define FUSE_TOKEN(name_, text, continues)
#define FUSE_WORD(name_, spelling)                                                                   \
    if (bytes == sizeof(spelling) - 1 &&                                                             \
        (FUSE_TOKEN_##name_ <= FUSE_TOKEN_NONE ? strncasecmp : strncmp)(name, spelling, bytes) == 0) \
        return FUSE_TOKEN_##name_;
#include "lang/token.def"
#undef FUSE_TOKEN
#undef FUSE_WORD
    return FUSE_TOKEN_NAME;
}

static uint32_t end_of_name(const struct fuse_lexer *lexer, uint32_t at) {
    while (at < lexer->bytes && is_name_char(lexer->text[at]))
        at++;
    return at;
}

/* Where the next part of a qualified name starts, or 0. Blanks around the '::' do not make it anything else. */
static uint32_t next_part(const struct fuse_lexer *lexer, uint32_t at) {
    const char *text = lexer->text;
    at += (uint32_t)strspn(text + at, " \t");
    if (text[at] != ':' || text[at + 1] != ':')
        return 0;
    at += 2;
    at += (uint32_t)strspn(text + at, " \t");
    return at < lexer->bytes && is_name_start(text[at]) ? at : 0;
}

static void lex_name(struct fuse_lexer *lexer, struct fuse_token *token) {
    uint32_t begin = lexer->at, end = end_of_name(lexer, begin), next;
    token->kind = find_word(lexer->text + begin, end - begin);
    if (end < lexer->bytes && (next = next_part(lexer, end)) != 0) {
        bool reserved = token->kind != FUSE_TOKEN_NAME;
        uint32_t first = begin, last = end;
        token->kind = FUSE_TOKEN_NAME;
        token->qualified = true;
        for (uint32_t part = next; part; part = next_part(lexer, end)) {
            end = end_of_name(lexer, part);
            if (!reserved && find_word(lexer->text + part, end - part) != FUSE_TOKEN_NAME) {
                reserved = true;
                first = part;
                last = end;
            }
        }
        if (reserved)
            make_bad(lexer, token, first, last,
                     fuse_arena_printf(lexer->arena, "'%.*s' is a reserved word and names nothing", (int)(last - first),
                                       lexer->text + first),
                     "give what it names another name");
    }
    while (end < lexer->bytes && lexer->text[end] == '\'') {
        token->primed = true;
        end++;
    }
    if (token->primed && fuse_token_is_reserved(token->kind))
        make_bad(lexer, token, begin, end,
                 fuse_arena_printf(lexer->arena, "'%.*s' is a reserved word with a prime", (int)(end - begin),
                                   lexer->text + begin),
                 "give the index another name");
    lexer->at = end;
}

const char *fuse_lexer_name(const struct fuse_lexer *lexer, const struct fuse_token *token) {
    const char *from = lexer->text + token->begin;
    char *name = fuse_arena_strndup(lexer->arena, from, token->end - token->begin);
    if (token->qualified) {
        char *to = name;
        for (const char *c = name; *c; c++)
            if (*c != ' ' && *c != '\t')
                *to++ = *c;
        *to = '\0';
    }
    return name;
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

/* The correctly rounded value of a decimal number. Short ones, nearly all, are one exact multiplication or division;
 * strtod does the others, in the C locale whatever the process has set. */
static double read_real(struct fuse_lexer *lexer, uint32_t begin, uint32_t end) {
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const int largest = 22;
    uint64_t digits = 0;
    int count = 0, exponent = 0, written = 0;
    bool fraction = false, minus = false;
    uint32_t at = begin;
    for (; at < end && lexer->text[at] != 'e' && lexer->text[at] != 'E'; at++) {
        if (lexer->text[at] == '.') {
            fraction = true;
            continue;
        }
        if (digits || lexer->text[at] != '0')
            count++;
        if (count <= 18)
            digits = digits * 10 + (uint64_t)(lexer->text[at] - '0');
        exponent -= fraction;
    }
    if (at < end) {
        at++;
        if (lexer->text[at] == '+' || lexer->text[at] == '-')
            minus = lexer->text[at++] == '-';
        for (; at < end && written < 100000; at++)
            written = written * 10 + (lexer->text[at] - '0');
        exponent += minus ? -written : written;
    }
    if (count <= 18 && digits <= (uint64_t)1 << 53 && exponent >= -largest && exponent <= largest)
        return exponent < 0 ? (double)digits / power[-exponent] : (double)digits * power[exponent];
    return lexer->locale ? strtod_l(lexer->text + begin, NULL, lexer->locale) : strtod(lexer->text + begin, NULL);
}

static void lex_number(struct fuse_lexer *lexer, struct fuse_token *token) {
    const char *text = lexer->text;
    uint32_t begin = lexer->at, end = begin;
    token->kind = FUSE_TOKEN_NUMBER;
    token->is_integer = true;
    while (is_digit(text[end]))
        end++;
    if (text[end] == '.') {
        token->is_integer = false;
        do
            end++;
        while (is_digit(text[end]));
    }
    if (text[end] == 'e' || text[end] == 'E') {
        uint32_t digits = end + 1 + (text[end + 1] == '+' || text[end + 1] == '-');
        if (is_digit(text[digits])) {
            token->is_integer = false;
            for (end = digits; is_digit(text[end]);)
                end++;
        }
    }
    lexer->at = end;

    bool based = end - begin == 1 && text[begin] == '0' && text[end] && strchr("xXbB", text[end]);
    if (based || text[end] == '_') {
        lexer->at = end_of_name(lexer, end);
        make_bad(lexer, token, begin, lexer->at,
                 based ? "numbers are decimal" : "a number may not contain or be followed by '_'",
                 based ? "a product of 0 and a name is written with '*'"
                       : "write 1000 for 1_000, and '*' for a product with a name that starts with '_'");
        return;
    }
    if (text[end] == '.' && is_digit(text[end + 1])) {
        while (text[lexer->at] == '.' || is_digit(text[lexer->at]))
            lexer->at++;
        make_bad(lexer, token, begin, lexer->at, "a number with two points", "a blank separates two factors: 1.2 .3");
        return;
    }
    if (token->is_integer) {
        for (uint32_t at = begin; at < end; at++) {
            int digit = text[at] - '0';
            if (token->integer > (INT64_MAX - digit) / 10) {
                make_bad(lexer, token, begin, end, "this integer does not fit in 64 bits",
                         "a real is written with a point or an exponent: 1e20");
                return;
            }
            token->integer = token->integer * 10 + digit;
        }
        token->real = (double)token->integer;
        return;
    }
    token->real = read_real(lexer, begin, end);
    if (isinf(token->real))
        make_bad(lexer, token, begin, end, "this number is too large for a 64-bit real",
                 "the largest is about 1.8e308");
}

/* ---- strings -------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The number after "\u", or -1; a NUL in the text ends the search for digits. */
static int32_t read_hex4(const char *at) {
    int32_t value = 0;
    for (int k = 0; k < 4; k++) {
        int digit = hex_digit(at[k]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Reads the escape at `at` (on its backslash): its length, and the character. On an error the length of the place to
 * show, and *message. */
static uint32_t read_escape(const char *at, uint32_t *character, const char **message) {
    static const char letters[] = "\"\\ntr", values[] = "\"\\\n\t\r";
    const char *letter = at[1] ? strchr(letters, at[1]) : NULL;
    *message = NULL;
    if (letter) {
        *character = (unsigned char)values[letter - letters];
        return 2;
    }
    if (at[1] != 'u') {
        *message = "unknown escape";
        return at[1] == '\n' || at[1] == '\r' || (at[1] & 0x80) ? 1 : 2;
    }
    int32_t first = read_hex4(at + 2);
    if (first < 0) {
        *message = "'\\u' is followed by four hexadecimal digits";
        return 2;
    }
    uint32_t length = 6;
    if (first >= 0xD800 && first < 0xDC00 && at[6] == '\\' && at[7] == 'u') {
        int32_t second = read_hex4(at + 8);
        if (second >= 0xDC00 && second < 0xE000) {
            first = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            length = 12;
        }
    }
    if (first >= 0xD800 && first < 0xE000)
        *message = "half of a surrogate pair";
    else if (first == 0)
        *message = "a string may not contain NUL";
    *character = (uint32_t)first;
    return length;
}

static void lex_string(struct fuse_lexer *lexer, struct fuse_token *token) {
    uint32_t begin = lexer->at, line_end = end_of_line(lexer, begin), at = begin + 1;
    token->kind = FUSE_TOKEN_STRING;
    while (at < line_end && lexer->text[at] != '"') {
        const char *message, *hint = NULL;
        uint32_t length, character;
        if (lexer->text[at] == '\\') {
            length = read_escape(lexer->text + at, &character, &message);
            if (message)
                hint = "the escapes are \\\" \\\\ \\n \\t \\r and \\u with four hexadecimal digits";
        } else {
            int bytes;
            message = check_character(lexer, at, &bytes);
            length = (uint32_t)bytes;
            hint = "a program is UTF-8 text";
        }
        /* The first mistake is reported, but the string still ends where its author ends it. */
        if (message && token->kind == FUSE_TOKEN_STRING)
            make_bad(lexer, token, at, at + length, message, hint);
        at += length;
    }
    if (at >= line_end) {
        make_bad(lexer, token, begin, line_end, "this string is not closed", "a string ends on the line it starts on");
        lexer->at = line_end;
        return;
    }
    lexer->at = at + 1;
}

static char *encode(char *to, uint32_t character) {
    if (character < 0x80) {
        *to++ = (char)character;
    } else if (character < 0x800) {
        *to++ = (char)(0xC0 | character >> 6);
        *to++ = (char)(0x80 | (character & 0x3F));
    } else if (character < 0x10000) {
        *to++ = (char)(0xE0 | character >> 12);
        *to++ = (char)(0x80 | (character >> 6 & 0x3F));
        *to++ = (char)(0x80 | (character & 0x3F));
    } else {
        *to++ = (char)(0xF0 | character >> 18);
        *to++ = (char)(0x80 | (character >> 12 & 0x3F));
        *to++ = (char)(0x80 | (character >> 6 & 0x3F));
        *to++ = (char)(0x80 | (character & 0x3F));
    }
    return to;
}

const char *fuse_lexer_string(const struct fuse_lexer *lexer, const struct fuse_token *token) {
    /* An escape is never shorter than what it stands for. */
    char *string = fuse_arena_alloc(lexer->arena, token->end - token->begin), *to = string;
    for (uint32_t at = token->begin + 1; at + 1 < token->end;) {
        if (lexer->text[at] == '\\') {
            uint32_t character = 0;
            const char *message;
            at += read_escape(lexer->text + at, &character, &message);
            to = encode(to, character);
        } else {
            *to++ = lexer->text[at++];
        }
    }
    *to = '\0';
    return string;
}

/* ---- everything ----------------------------------------------------------------------------------------------- */

static void lex_symbol(struct fuse_lexer *lexer, struct fuse_token *token) {
    /* Longer ones first. */
    static const struct {
        char text[3];
        unsigned char kind;
    } symbols[] = {
        {"->", FUSE_TOKEN_ARROW},
        {"==", FUSE_TOKEN_EQUAL},
        {"!=", FUSE_TOKEN_NOT_EQUAL},
        {"<=", FUSE_TOKEN_LESS_EQUAL},
        {">=", FUSE_TOKEN_GREATER_EQUAL},
        {"&&", FUSE_TOKEN_AND},
        {"||", FUSE_TOKEN_OR},
        {"**", FUSE_TOKEN_POWER},
        {"::", FUSE_TOKEN_COLONS},
        {"+=", FUSE_TOKEN_PLUS_ASSIGN},
        {"(", FUSE_TOKEN_LPAREN},
        {")", FUSE_TOKEN_RPAREN},
        {"[", FUSE_TOKEN_LBRACKET},
        {"]", FUSE_TOKEN_RBRACKET},
        {"{", FUSE_TOKEN_LBRACE},
        {"}", FUSE_TOKEN_RBRACE},
        {";", FUSE_TOKEN_SEMICOLON},
        {",", FUSE_TOKEN_COMMA},
        {".", FUSE_TOKEN_DOT},
        {"@", FUSE_TOKEN_AT},
        {":", FUSE_TOKEN_COLON},
        {"?", FUSE_TOKEN_QUESTION},
        {"=", FUSE_TOKEN_ASSIGN},
        {"+", FUSE_TOKEN_PLUS},
        {"-", FUSE_TOKEN_MINUS},
        {"*", FUSE_TOKEN_STAR},
        {"/", FUSE_TOKEN_SLASH},
        {"!", FUSE_TOKEN_NOT},
        {"<", FUSE_TOKEN_LESS},
        {">", FUSE_TOKEN_GREATER},
    };
    const char *at = lexer->text + lexer->at;
    for (size_t k = 0; k < sizeof symbols / sizeof *symbols; k++) {
        size_t length = symbols[k].text[1] ? 2 : 1;
        if (strncmp(at, symbols[k].text, length) == 0) {
            token->kind = (enum fuse_token_kind)symbols[k].kind;
            lexer->at += (uint32_t)length;
            return;
        }
    }
    lex_bad_character(lexer, token);
}

void fuse_lexer_next(struct fuse_lexer *lexer, struct fuse_token *token) {
    *token = (struct fuse_token){.kind = FUSE_TOKEN_BAD};
    if (!skip_blanks(lexer, token)) {
        token->end = lexer->at;
        return;
    }
    token->begin = lexer->at;
    token->column = lexer->at - lexer->line;
    if (lexer->at == lexer->bytes) {
        token->kind = FUSE_TOKEN_FILE_END;
    } else {
        char c = lexer->text[lexer->at];
        if (is_name_start(c))
            lex_name(lexer, token);
        else if (is_digit(c) || (c == '.' && is_digit(lexer->text[lexer->at + 1])))
            lex_number(lexer, token);
        else if (c == '"')
            lex_string(lexer, token);
        else
            lex_symbol(lexer, token);
    }
    token->end = lexer->at;
}
