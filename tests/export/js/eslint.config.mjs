// `.ci/run` copies this next to npm's packages. The page's scripts share one scope; tsc finds
// undefined names.
import js from "@eslint/js";

const rules = {
  ...js.configs.recommended.rules,
  "no-undef": "off",
  "no-unused-vars": ["error", { vars: "local" }],
  eqeqeq: "error",
  "no-implicit-coercion": "error",
  "no-shadow": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
};

export default [
  { files: ["**/page/*.js"], ignores: ["**/module.js"], languageOptions: { sourceType: "script" }, rules },
  { files: ["**/module.js", "**/*.mjs"], rules },
];
