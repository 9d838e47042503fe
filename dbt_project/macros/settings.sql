{#- Settings of a run. DuckDB has them as variables, which need no new parse; elsewhere dbt's vars. -#}

{% macro top_n() %}
  {{ return(adapter.dispatch('top_n', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__top_n() %}
  {{ return("cast(getvariable('top_n') as integer)") }}
{% endmacro %}

{% macro default__top_n() %}
  {{ return("cast(" ~ var('top_n', 20) ~ " as integer)") }}
{% endmacro %}


{#- A condition: the port is left out of the ranking. -#}
{% macro is_excluded_port(port) %}
  {{ return(adapter.dispatch('is_excluded_port', 'flow_pipeline')(port)) }}
{% endmacro %}

{% macro duckdb__is_excluded_port(port) %}
  {{ return("coalesce(list_contains(cast(getvariable('top_excluded_ports') as integer[]), " ~ port ~ "), false)") }}
{% endmacro %}

{% macro default__is_excluded_port(port) %}
  {%- set ports = var('top_excluded_ports', []) -%}
  {{ return(port ~ " in (" ~ ports | join(', ') ~ ")" if ports else "false") }}
{% endmacro %}


{#- The end of the unbroken complete hours of the day that is being built. -#}
{% macro complete_through() %}
  {{ return(adapter.dispatch('complete_through', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__complete_through() %}
  {{ return("cast(getvariable('complete_through') as timestamp)") }}
{% endmacro %}

{% macro default__complete_through() %}
  {{ return("cast(" ~ var('complete_through', 'null') ~ " as timestamp)") }}
{% endmacro %}
