// The grammar: sections of keys, uses, constants; values with arithmetic, conditions. It knows no section or key by
// name. Actions make nodes and nothing else. Recovery: after an error the parser moves on to the next key or section
// that lang/parse.c finds in the tokens, so one mistake gives one message.
%require "3.8"
%define api.pure full
%define api.prefix {seer_}
%define api.location.type {SourceSpan}
%define api.token.prefix {TOK_}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param {Parser *parser}

%code requires {
#include "lang/parse.h"
}

%code {
#define YYLLOC_DEFAULT(current, rhs, count)                                                    \
  ((current) = (count) ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, count))                     \
                       : (SourceSpan){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end})

static int seer_lex(YYSTYPE *value, SourceSpan *span, Parser *parser);
static void seer_error(const SourceSpan *span, Parser *parser, const char *message);
}

%union {
  const Token *token;
  AstNode *node;
  AstItems items;
}

%token START_FILE START_VALUE START_DEFINE
%token <token> NAME "a name" KEY "a key" SECTION "a section" REFERENCE "a reference" NUMBER "a number" STRING "a string"
%token USE "'use'" LET "'let'" DOTDOT "'..'" OTHER "a character"
%token '=' "'='" '{' "'{'" '}' "'}'" '(' "'('" ')' "')'" '[' "'['" ']' "']'" ',' "','"
%token '+' "'+'" '-' "'-'" '*' "'*'" '/' "'/'"
%token <token> EQUAL "'=='" UNEQUAL "'!='" LESS "'<'" AT_MOST "'<='" MORE "'>'" AT_LEAST "'>='"
%token AND "'and'" OR "'or'" NOT "'not'" IN "'in'"
%type <node> value condition conjunction negation comparison sum product unary primary
%type <token> relation
%type <items> elements element_list arguments argument_list

%%

start: START_FILE statements
     | START_VALUE value                           { parser->value = $value; }
     | START_DEFINE REFERENCE '=' value            { parser->define_target = $REFERENCE; parser->value = $value; }
     | START_DEFINE KEY '=' value                  { parser->define_target = $KEY; parser->value = $value; }
     ;

statements: %empty
          | statements statement
          | statements error                       { parser_resync_file(parser); yyclearin; yyerrok; }
          ;

statement: USE STRING                              { parser_use(parser, @$, $STRING); }
         | LET KEY '=' value                       { parser_let(parser, @$, $KEY, $value); }
         | SECTION '{' { parser_open(parser, $SECTION); } keys '}'  { parser_close(parser, @$); }
         | KEY '=' value                           { parser_stray_key(parser, $KEY); }
         | REFERENCE '=' value                     { parser_stray_reference(parser, $REFERENCE); }
         ;

keys: %empty
    | keys KEY '=' value                           { parser_key(parser, $KEY, $value); }
    | keys REFERENCE '=' value                     { parser_stray_reference(parser, $REFERENCE); }
    | keys error                                   { parser_resync_section(parser); yyclearin; yyerrok; }
    ;

value: condition
     | sum[low] DOTDOT sum[high]                     { $$ = parser_node(parser, AST_RANGE, @$, 0, $low, $high); }
     ;

condition: conjunction
         | condition[left] OR conjunction[right]   { $$ = parser_relate(parser, AST_LOGIC, @$, "or", $left, $right); }
         ;

conjunction: negation
           | conjunction[left] AND negation[right] { $$ = parser_relate(parser, AST_LOGIC, @$, "and", $left, $right); }
           ;

negation: comparison
        | NOT negation[operand]                    { $$ = parser_relate(parser, AST_NOT, @$, NULL, $operand, NULL); }
        ;

comparison: sum
          | comparison[a] relation[how] sum[b]     { $$ = parser_relate(parser, AST_COMPARE, @$, $how->text, $a, $b); }
          | comparison[a] IN sum[b]                { $$ = parser_relate(parser, AST_COMPARE, @$, "in", $a, $b); }
          | comparison[a] NOT IN sum[b]            { $$ = parser_relate(parser, AST_COMPARE, @$, "not in", $a, $b); }
          ;

relation: EQUAL | UNEQUAL | LESS | AT_MOST | MORE | AT_LEAST;

sum: product
   | sum[left] '+' product                         { $$ = parser_node(parser, AST_BINARY, @$, '+', $left, $product); }
   | sum[left] '-' product                         { $$ = parser_node(parser, AST_BINARY, @$, '-', $left, $product); }
   ;

product: unary
       | product[left] '*' unary                   { $$ = parser_node(parser, AST_BINARY, @$, '*', $left, $unary); }
       | product[left] '/' unary                   { $$ = parser_node(parser, AST_BINARY, @$, '/', $left, $unary); }
       ;

unary: primary
     | '-' unary[operand]                          { $$ = parser_node(parser, AST_NEGATE, @$, '-', $operand, NULL); }
     ;

primary: NUMBER                                    { $$ = parser_number(parser, $NUMBER); }
       | STRING                                    { $$ = parser_text(parser, AST_STRING, $STRING); }
       | NAME                                      { $$ = parser_text(parser, AST_NAME, $NAME); }
       | REFERENCE                                 { $$ = parser_text(parser, AST_REFERENCE, $REFERENCE); }
       | NAME '(' arguments ')'                    { $$ = parser_sequence(parser, AST_CALL, @$, $NAME, &$arguments); }
       | '[' elements ']'                          { $$ = parser_sequence(parser, AST_LIST, @$, NULL, &$elements); }
       | '(' condition ')'                         { $$ = parser_node(parser, AST_GROUP, @$, 0, $condition, NULL); }
       ;

elements: %empty                                   { $$ = (AstItems){0}; }
        | element_list
        | element_list ','
        ;

element_list: value                                { $$ = parser_items(parser, NULL, NULL, @value, $value); }
            | element_list[list] ',' value         { $$ = parser_items(parser, &$list, NULL, @value, $value); }
            ;

arguments: %empty                                  { $$ = (AstItems){0}; }
         | argument_list
         | argument_list ','
         ;

argument_list: KEY '=' value                       { $$ = parser_items(parser, NULL, $KEY, @KEY, $value); }
             | value                               { $$ = parser_items(parser, NULL, NULL, @value, $value); }
             | argument_list[list] ',' KEY '=' value  { $$ = parser_items(parser, &$list, $KEY, @KEY, $value); }
             | argument_list[list] ',' value       { $$ = parser_items(parser, &$list, NULL, @value, $value); }
             ;

%%

static int seer_lex(YYSTYPE *value, SourceSpan *span, Parser *parser) {
  const Token *next = &parser->tokens.items[parser->cursor];
  *span = next->span;
  if (!parser->started) {
    parser->started = true;
    span->end = span->begin;
    return parser->start;
  }
  if (parser->close_pending) {
    parser->close_pending = false;
    span->end = span->begin;
    return '}';
  }
  value->token = next;
  if (next->kind != 0) parser->cursor++;
  return next->kind;
}

static int yyreport_syntax_error(const yypcontext_t *context, Parser *parser) {
  yysymbol_kind_t expected[YYNTOKENS];
  const char *names[YYNTOKENS];
  int count = yypcontext_expected_tokens(context, expected, YYNTOKENS);
  for (int i = 0; i < count; i++) names[i] = yysymbol_name(expected[i]);
  yysymbol_kind_t token = yypcontext_token(context);
  bool at_end = token == YYSYMBOL_YYEOF || token == YYSYMBOL_YYEMPTY;
  parser_syntax_error(parser, at_end, names, count < 0 ? 0 : count);
  return 0;
}

static void seer_error(const SourceSpan *span, Parser *parser, const char *message) {
  (void)message;
  parser_give_up(parser, *span);
}
